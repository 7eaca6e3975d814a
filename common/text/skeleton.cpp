// SPDX-License-Identifier: Apache-2.0
#include "common/text/skeleton.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "common/text/block_number.hpp"

namespace optipod::text {
namespace {

struct Token {
  std::string_view text;  ///< of the body
  bool timestamp;
};

/// Passes everything on and notes where values and timestamps stand.
class Watch final : public ParseSink {
 public:
  explicit Watch(ParseSink& inner) : inner_(inner) {}
  void type(std::string_view family, MetricType type) override { inner_.type(family, type); }
  void help(std::string_view family, std::string_view help) override { inner_.help(family, help); }
  void sample(const Sample& sample) override {
    tokens.push_back({sample.value_text, false});
    if (sample.timestamp_ms) tokens.push_back({sample.timestamp_text, true});
    ++samples;
    inner_.sample(sample);
  }

  std::vector<Token> tokens;  ///< in the body's order
  std::size_t samples = 0;

 private:
  ParseSink& inner_;
};

}  // namespace

tl::expected<std::shared_ptr<const Skeleton>, ParseError> Skeleton::learn(std::string_view body,
                                                                          ParseSink& sink) {
  if (body.size() >= kTimestamp) {
    return tl::unexpected(ParseError{.line = 1,
                                     .column = 1,
                                     .what = fmt::format("a body of {} bytes; at most {} are taken",
                                                         body.size(), kTimestamp - 1)});
  }
  Watch watch(sink);
  if (auto parsed = parse(body, watch); !parsed) return tl::unexpected(std::move(parsed.error()));

  std::size_t bytes = body.size();
  for (const Token& token : watch.tokens) bytes -= token.text.size();
  auto made = make(watch.samples, watch.tokens.size(), bytes);
  Gap* gap = made->gaps();
  char* text = made->text();
  const char* from = body.data();
  for (const Token& token : watch.tokens) {
    const auto length = static_cast<std::size_t>(token.text.data() - from);
    *gap++ = static_cast<Gap>(length) | (token.timestamp ? kTimestamp : 0);
    text = std::copy_n(from, length, text);
    from = token.text.data() + token.text.size();
  }
  std::copy(from, body.data() + body.size(), text);
  made->finish();
  return made;
}

std::shared_ptr<Skeleton> Skeleton::make(std::size_t samples, std::size_t tokens,
                                         std::size_t bytes) {
  const std::size_t whole = sizeof(Skeleton) + tokens * sizeof(Gap) + bytes;
  const auto block = std::make_shared<std::uint64_t[]>((whole + 7) / 8);
  return {block, new (block.get()) Skeleton(samples, tokens, bytes)};
}

void Skeleton::finish() {
  const char* end = text();
  for (const Gap* gap = gaps(); gap != gaps() + tokens_; ++gap) {
    const std::size_t length = *gap & ~kTimestamp;
    end += length;
    const char before = length == 0 ? '\0' : end[-1];
    if (before != ' ' && before != '\t' && before != '}') replayable_ = false;
  }
  hash_ = std::hash<std::string_view>()(content());
}

std::shared_ptr<const Skeleton> Skeleton::part(std::size_t from, std::size_t to, const char* text,
                                               std::size_t bytes) const {
  const auto samples =
      std::count_if(gaps() + from, gaps() + to, [](Gap gap) { return (gap & kTimestamp) == 0; });
  auto made = make(static_cast<std::size_t>(samples), to - from, bytes);
  std::copy(gaps() + from, gaps() + to, made->gaps());
  std::copy_n(text, bytes, made->text());
  made->finish();
  return made;
}

std::vector<std::shared_ptr<const Skeleton>> Skeleton::pieces(std::size_t least_bytes) const {
  std::vector<std::shared_ptr<const Skeleton>> all;
  std::size_t from = 0;  // gap
  const char* begin = text();
  const char* at = begin;
  for (std::size_t i = 0; i < tokens_; ++i) {
    const std::size_t length = gaps()[i] & ~kTimestamp;
    const bool comment = length > 1 && at[0] == '\n' && at[1] == '#';  // a family's first
    if (comment && static_cast<std::size_t>(at - begin) >= least_bytes) {
      all.push_back(part(from, i, begin, static_cast<std::size_t>(at - begin)));
      from = i;
      begin = at;
    }
    at += length;
  }
  all.push_back(part(from, tokens_, begin, static_cast<std::size_t>(text() + bytes_ - begin)));
  return all;
}

std::string_view Skeleton::content() const {
  return {reinterpret_cast<const char*>(gaps()), tokens_ * sizeof(Gap) + bytes_};
}

std::size_t Skeleton::bytes() const {
  return sizeof(Skeleton) + content().size();
}

bool operator==(const Skeleton& a, const Skeleton& b) {
  return a.hash_ == b.hash_ && a.tokens_ == b.tokens_ && a.content() == b.content();
}

bool Skeleton::replay(std::string_view body, std::span<double> values,
                      std::span<std::int64_t> timestamps_ms) const {
  if (!replayable_ || values.size() != samples_) return false;
  if (timestamps_ms.size() != samples_ && (has_timestamps() || !timestamps_ms.empty())) {
    return false;
  }
  std::fill(timestamps_ms.begin(), timestamps_ms.end(), kNoTimestamp);
  const char* const end = body.data() + body.size();
  const char* const after = replay_part(body.data(), end, values, timestamps_ms);
  return after != nullptr && after == end;
}

const char* Skeleton::replay_part(const char* p, const char* end, std::span<double> values,
                                  std::span<std::int64_t> timestamps_ms) const {
  if (!replayable_ || values.size() != samples_) return nullptr;
  if (has_timestamps() && timestamps_ms.size() != samples_) return nullptr;
  const char* expected = text();
  const char* const expected_end = expected + bytes_;
  const auto same = [&](std::size_t length) {
    return static_cast<std::size_t>(end - p) >= length && std::memcmp(p, expected, length) == 0;
  };
  const NumberReader numbers(p, end);
  std::size_t next = 0;  // sample
  for (const Gap* gap = gaps(); gap != gaps() + tokens_; ++gap) {
    const std::size_t length = *gap & ~kTimestamp;
    if (!same(length)) return nullptr;
    p += length;
    expected += length;
    p = (*gap & kTimestamp) != 0 ? numbers.timestamp(p, timestamps_ms[next - 1])
                                 : numbers.value(p, values[next++]);
    if (p == nullptr) return nullptr;
  }
  const auto left = static_cast<std::size_t>(expected_end - expected);
  return left == 0 || same(left) ? p + left : nullptr;
}

}  // namespace optipod::text
