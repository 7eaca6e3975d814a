// SPDX-License-Identifier: Apache-2.0
// Pages and series as tests write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aggregator/parse.hpp"
#include "aggregator/series.hpp"
#include "tests/support/catch.hpp"

namespace optipod::aggregator {

/// A set of the body's series as they stand, without any label of a target; explicit times count.
inline SeriesSet set_of(std::string_view body, std::int64_t scraped_ms,
                        const LabelPairs& labels = {}) {
  auto set = BodyParser(labels, {}).parse(body, scraped_ms, scraped_ms);
  INFO((set ? std::string() : set.error().what));
  REQUIRE(set.has_value());
  return *set;
}

/// name{labels} value time, one a line, in the order of the page.
inline std::vector<std::string> lines_of(const SeriesSet& set) {
  std::vector<std::string> lines;
  if (!set.schema) return lines;
  for (std::size_t i = 0; i < set.size(); ++i) {
    std::string line(set.schema->at(i).name);
    set.append_labels(i, line += "{");
    line.append("} ");
    text::append_number(line, set.value(i));
    lines.push_back(line.append(" ").append(std::to_string(set.time_ms(i))));
  }
  return lines;
}

}  // namespace optipod::aggregator
