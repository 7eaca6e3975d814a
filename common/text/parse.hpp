// SPDX-License-Identifier: Apache-2.0
//
// Reading the Prometheus text format 0.0.4 as the Prometheus server reads it: a body is good or bad
// as a whole. Bugs of the server's lexer are not copied: a NUL at a line's start is an error, not
// the end of the body, labels need a comma between them, and blanks before a name are no part of
// it. All differences: docs/exposition.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "common/text/exposition.hpp"

namespace optipod::text {

struct Label {
  std::string_view name, value;
};

/// Valid during the callback only.
struct Sample {
  std::string_view name;
  const std::vector<Label>* labels = nullptr;  ///< in order of appearance, values unescaped
  double value = 0;
  std::optional<std::int64_t> timestamp_ms;
  std::string_view value_text, timestamp_text;  ///< as they stand in the body

  [[nodiscard]] std::string_view label(std::string_view label_name) const;  ///< "" when absent
};

struct ParseError {
  std::size_t line = 0, column = 0;  ///< 1-based; the column counts bytes
  std::string what;
};

/// Receives what the body says, in order. A later error means all of it is void.
class ParseSink {
 public:
  virtual ~ParseSink() = default;
  virtual void type(std::string_view family, MetricType type) { (void)family, (void)type; }
  virtual void help(std::string_view family, std::string_view help) { (void)family, (void)help; }
  virtual void sample(const Sample& sample) = 0;
};

/// Returns the number of samples. Time and memory are linear in `body`.
tl::expected<std::size_t, ParseError> parse(std::string_view body, ParseSink& sink);

}  // namespace optipod::text
