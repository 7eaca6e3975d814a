// SPDX-License-Identifier: Apache-2.0
//
// match[]: an instant vector selector as PromQL writes it, without offset, @ and range.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "aggregator/series.hpp"

namespace re2 {
class RE2;
}

namespace optipod::aggregator {

struct Matcher {
  enum class Op { kEqual, kNotEqual, kMatch, kNoMatch };
  std::string label;  ///< "__name__" for the metric's name
  Op op = Op::kEqual;
  std::string value;
  std::shared_ptr<const re2::RE2> regex;  ///< of kMatch and kNoMatch; anchored, dot matches newline

  /// An absent label has the value "".
  [[nodiscard]] bool matches(std::string_view text) const;
};

/// Every matcher must match. Immutable, thread-safe.
class Selector {
 public:
  /// What Prometheus' /federate takes, which is more than a query may have: a name given several
  /// times, matchers that an empty value fits, "{}", which no series fits. The error reads
  /// "1:<column>: parse error: <what>", as Prometheus' does; columns count bytes from 1.
  static tl::expected<Selector, std::string> parse(std::string_view text);

  /// Matchers of the metric's name; most selections end here.
  [[nodiscard]] bool matches_name(std::string_view name) const;
  /// Of the other matchers those that are about a label of `target` or, with `of_target` false, all
  /// others. Both together say whether a series with the labels of both matches.
  [[nodiscard]] bool matches_labels(const LabelSet& series, const LabelSet& target,
                                    bool of_target) const;
  [[nodiscard]] bool matches_labels(const Schema::Series& series) const;
  [[nodiscard]] bool matches(const Schema::Series& series) const {
    return matches_name(series.name) && matches_labels(series);
  }

 private:
  std::vector<Matcher> name_, labels_;
};

}  // namespace optipod::aggregator
