// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an OpenMetrics page: no crash, errors have a place in the page, and what is accepted
// is text, counted right, and ends as it must.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/text/openmetrics.hpp"
#include "common/text/utf8.hpp"

namespace {

using namespace optipod::text;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Look final : ParseSink {
  std::size_t samples = 0;
  void type(std::string_view family, MetricType) override { require(!family.empty()); }
  void help(std::string_view family, std::string_view help) override {
    require(!family.empty() && utf8_valid(help));
  }
  void sample(const Sample& s) override {
    ++samples;
    require(!s.name.empty() && s.labels != nullptr && !s.value_text.empty());
    require(s.timestamp_ms.has_value() == !s.timestamp_text.empty());
    for (const Label& label : *s.labels) require(!label.name.empty() && utf8_valid(label.value));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view page(reinterpret_cast<const char*>(data), size);
  Look look;
  const auto parsed = parse_openmetrics(page, look);
  if (parsed) {
    require(*parsed == look.samples);
    require(page.ends_with("# EOF") || page.ends_with("# EOF\n"));
  } else {
    const ParseError& error = parsed.error();
    require(error.line >= 1 && error.line <= size + 1);
    require(error.column >= 1 && error.column <= size + 1 && !error.what.empty());
  }
  return 0;
}
