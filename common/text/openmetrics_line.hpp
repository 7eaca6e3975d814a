// SPDX-License-Identifier: Apache-2.0
//
// One sample line of OpenMetrics 1.0 by its grammar alone; what a family asks of it is in
// common/text/openmetrics_family.hpp.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/parse.hpp"

namespace optipod::text {

/// Views of the line, or of the reader that made it: valid until it reads the next.
struct OpenMetricsSample {
  std::string_view name;
  std::vector<Label> labels;  ///< values unescaped, in order of appearance
  double value = 0;
  std::optional<double> timestamp;  ///< seconds
  std::string_view value_text, timestamp_text;
  bool exemplar = false;
};

/// What is wrong, and where: a byte of the line.
struct LineError {
  std::size_t at = 0;
  std::string what;
};

bool is_metric_name(std::string_view s);  ///< [a-zA-Z_:][a-zA-Z0-9_:]*

class OpenMetricsLine {
 public:
  /// `line` is without its newline, and UTF-8. Null when it is wrong: then error() tells why.
  const OpenMetricsSample* read(std::string_view line);
  [[nodiscard]] const LineError& error() const { return error_; }

 private:
  bool fail(std::string what);
  bool expected(std::string_view what);
  [[nodiscard]] bool at(char c) const { return p_ < line_.size() && line_[p_] == c; }
  bool take(char c, std::string_view what);
  std::string_view token();
  bool labels(std::vector<Label>& out);
  bool label_value(std::string_view& value);
  bool unique(const std::vector<Label>& labels);
  bool number(double& value, std::string_view& text);
  bool timestamp(std::optional<double>& seconds, std::string_view& text);
  bool exemplar();

  std::string_view line_;
  std::size_t p_ = 0;
  OpenMetricsSample sample_;
  std::vector<Label> exemplar_;
  std::vector<std::string_view> sorted_;
  std::deque<std::string> unescaped_;
  LineError error_;
};

}  // namespace optipod::text
