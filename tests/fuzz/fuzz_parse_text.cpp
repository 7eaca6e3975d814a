// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as exposition text: no crash, and what is accepted is consistent: values are valid
// UTF-8, and written out again it is accepted again, with the same samples. The plain parser says
// the same of it, and so does the skeleton of a body that differs in one byte, or it refuses.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/exposition.hpp"
#include "common/text/parse.hpp"
#include "common/text/plain_parser.hpp"
#include "common/text/skeleton.hpp"
#include "common/text/utf8.hpp"

namespace {

using namespace optipod::text;

void require(bool holds) {
  if (!holds) std::abort();
}

bool same_value(double a, double b) {
  return a == b ? std::signbit(a) == std::signbit(b) : std::isnan(a) && std::isnan(b);
}

struct Flat {
  std::string name, labels;
  double value;
  std::int64_t timestamp_ms;
  bool operator==(const Flat& other) const {
    return name == other.name && labels == other.labels && same_value(value, other.value) &&
           timestamp_ms == other.timestamp_ms;
  }
};

/// Keeps samples, and writes them again as the aggregator would.
struct Rewrite final : ParseSink {
  std::string out;
  ExpositionWriter writer{out};
  std::vector<Flat> samples;
  std::string metadata;
  bool plain = true;  ///< only names that need no quotes, and no NUL, which the writer replaces

  static bool is_plain(std::string_view name) {
    for (const char c : name) {
      const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
                        (c >= '0' && c <= '9');
      if (!good) return false;
    }
    return !name.empty() && !(name[0] >= '0' && name[0] <= '9');
  }

  void type(std::string_view family, MetricType type) override {
    require(!family.empty() && !to_string(type).empty());
    metadata.append(family).append(" ").append(to_string(type)).append("\n");
  }
  void help(std::string_view family, std::string_view help) override {
    require(!family.empty() && utf8_valid(help));
    metadata.append(family).append(" ").append(help).append("\n");
  }
  void sample(const Sample& s) override {
    require(!s.name.empty() && s.labels != nullptr);
    std::string labels;
    plain = plain && is_plain(s.name);
    for (const Label& label : *s.labels) {
      require(utf8_valid(label.value));
      plain = plain && is_plain(label.name) && label.name.find(':') == std::string_view::npos &&
              label.value.find('\0') == std::string_view::npos;
      append_label(labels, label.name, label.value);
    }
    writer.family(s.name, MetricType::kUntyped);
    if (s.timestamp_ms) {
      writer.sample(labels, s.value, *s.timestamp_ms);
    } else {
      writer.sample(labels, s.value);
    }
    samples.push_back(
        {std::string(s.name), labels, s.value, s.timestamp_ms.value_or(kNoTimestamp)});
  }
};

void compare_with_plain(std::string_view body, const tl::expected<std::size_t, ParseError>& parsed,
                        const Rewrite& told) {
  Rewrite plain;
  const auto wanted = parse_plain(body, plain);
  require(parsed.has_value() == wanted.has_value());
  require(plain.samples == told.samples && plain.metadata == told.metadata);
  if (parsed) {
    require(*parsed == *wanted);
  } else {
    require(parsed.error().line == wanted.error().line &&
            parsed.error().column == wanted.error().column &&
            parsed.error().what == wanted.error().what);
  }
}

void require_replay_as_parsed(const Skeleton& skeleton, std::string_view body) {
  Rewrite parsed;
  require(parse(body, parsed).has_value());
  std::vector<double> values(skeleton.samples());
  std::vector<std::int64_t> timestamps(skeleton.samples());
  require(parsed.samples.size() == values.size());
  require(skeleton.replay(body, values, timestamps));
  for (std::size_t i = 0; i < values.size(); ++i) {
    require(same_value(values[i], parsed.samples[i].value));
    require(timestamps[i] == parsed.samples[i].timestamp_ms);
  }
}

/// The good `body`, then the same with one byte changed: which one and to what, it says itself.
void replay(std::string_view body) {
  Rewrite ignored;
  const auto skeleton = Skeleton::learn(body, ignored);
  require(skeleton.has_value());
  if (body.size() < 4) return;
  std::string changed(body);
  const std::size_t at =
      (static_cast<unsigned char>(body.back()) * 251U + body.size()) % body.size();
  changed[at] = body[(at * 7 + static_cast<unsigned char>(body[0])) % body.size()];
  std::vector<double> values((*skeleton)->samples());
  std::vector<std::int64_t> timestamps(values.size());
  if ((*skeleton)->replay(body, values, timestamps)) require_replay_as_parsed(**skeleton, body);
  if ((*skeleton)->replay(changed, values, timestamps))
    require_replay_as_parsed(**skeleton, changed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  Rewrite first;
  const auto parsed = parse(body, first);
  compare_with_plain(body, parsed, first);
  if (!parsed) {
    require(parsed.error().line >= 1 && parsed.error().line <= size + 1);
    require(!parsed.error().what.empty());
    return 0;
  }
  require(*parsed == first.samples.size());
  replay(body);
  if (!first.plain) return 0;
  Rewrite second;
  require(parse(first.out, second).has_value());
  require(second.samples == first.samples);
  return 0;
}
