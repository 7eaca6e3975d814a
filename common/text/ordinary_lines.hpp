// SPDX-License-Identifier: Apache-2.0
//
// The lines that pages are made of, read fast: `name{label="value",...} 1 [timestamp]` with single
// blanks and without escapes, HELP and TYPE. Anything else is the plain parser's, errors too.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "common/text/parse.hpp"

namespace optipod::text {

class OrdinaryLines {
 public:
  /// Both must outlive this.
  OrdinaryLines(std::string_view body, ParseSink& sink);

  /// Reads the line at `p` (in the body, where a line begins) and tells the sink. Returns where the
  /// next line begins; null when the line is not ordinary, or so near the end that reading in
  /// blocks would leave the body: then the sink was told nothing.
  const char* line_at(const char* p);
  [[nodiscard]] std::size_t samples() const { return samples_; }  ///< told so far

 private:
  const char* sample(const char* p);
  const char* metadata(const char* p);
  const char* help(const char* p, std::string_view family);
  const char* type(const char* p, std::string_view family);
  const char* name_end(const char* p);
  const char* labels(const char* p);
  const char* label_name(const char* p, std::size_t index);
  const char* string_end(const char* p) const;

  const char* end_;
  const char* last_block_;  ///< reading a block here, and some bytes behind it, stays in the body
  ParseSink& sink_;
  std::size_t samples_ = 0;
  /// Of the lines before: the next line often has the same names, which are then compared, and
  /// known to be unique. Views of the body.
  std::string_view name_;
  std::vector<Label> labels_;
  const std::vector<Label> no_labels_;
};

}  // namespace optipod::text
