// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as exposition text: no crash, and what is accepted is consistent: values are valid
// UTF-8, and written out again it is accepted again, with the same samples.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/exposition.hpp"
#include "common/text/parse.hpp"
#include "common/text/utf8.hpp"

namespace {

using namespace optipod::text;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Flat {
  std::string name, labels;
  double value;
  bool operator==(const Flat& other) const {
    return name == other.name && labels == other.labels &&
           (value == other.value || (std::isnan(value) && std::isnan(other.value)));
  }
};

/// Keeps samples, and writes them again as the aggregator would.
struct Rewrite final : ParseSink {
  std::string out;
  ExpositionWriter writer{out};
  std::vector<Flat> samples;
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
  }
  void help(std::string_view family, std::string_view help) override {
    require(!family.empty() && utf8_valid(help));
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
    samples.push_back({std::string(s.name), labels, s.value});
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  Rewrite first;
  const auto parsed = parse(body, first);
  if (!parsed) {
    require(parsed.error().line >= 1 && parsed.error().line <= size + 1);
    require(!parsed.error().what.empty());
    return 0;
  }
  require(*parsed == first.samples.size());
  if (!first.plain) return 0;
  Rewrite second;
  require(parse(first.out, second).has_value());
  require(second.samples == first.samples);
  return 0;
}
