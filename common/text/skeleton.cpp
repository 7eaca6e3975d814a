// SPDX-License-Identifier: Apache-2.0
#include "common/text/skeleton.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "common/text/short_number.hpp"

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
  const std::size_t whole = sizeof(Skeleton) + watch.tokens.size() * sizeof(Gap) + bytes;
  const auto block = std::make_shared<std::uint64_t[]>((whole + 7) / 8);
  auto* made = new (block.get()) Skeleton(watch.samples, watch.tokens.size(), bytes);

  auto* gap = reinterpret_cast<Gap*>(made + 1);
  auto* text = reinterpret_cast<char*>(gap + watch.tokens.size());
  const char* from = body.data();
  for (const Token& token : watch.tokens) {
    const auto length = static_cast<std::size_t>(token.text.data() - from);
    *gap++ = static_cast<Gap>(length) | (token.timestamp ? kTimestamp : 0);
    text = std::copy_n(from, length, text);
    const char before = length == 0 ? '\0' : text[-1];
    if (before != ' ' && before != '\t' && before != '}') made->replayable_ = false;
    from = token.text.data() + token.text.size();
  }
  std::copy(from, body.data() + body.size(), text);
  made->hash_ = std::hash<std::string_view>()(made->content());
  return std::shared_ptr<const Skeleton>(block, made);
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
  const char* p = body.data();
  const char* const end = p + body.size();
  const char* expected = text();
  const char* const expected_end = expected + bytes_;
  std::size_t next = 0;  // sample
  for (const Gap* gap = gaps(); gap != gaps() + tokens_; ++gap) {
    const std::size_t length = *gap & ~kTimestamp;
    if (static_cast<std::size_t>(end - p) < length || std::memcmp(p, expected, length) != 0) {
      return false;
    }
    p += length;
    expected += length;
    p = (*gap & kTimestamp) != 0 ? take_timestamp(p, end, timestamps_ms[next - 1])
                                 : take_number(p, end, values[next++]);
    if (p == nullptr) return false;
  }
  return end - p == expected_end - expected && std::equal(expected, expected_end, p);
}

}  // namespace optipod::text
