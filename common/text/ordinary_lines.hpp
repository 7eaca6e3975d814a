// SPDX-License-Identifier: Apache-2.0
//
// The lines that pages are made of, read fast: `name{label="value",...} 1 [timestamp]` with single
// blanks and without escapes, HELP and TYPE. Anything else is the plain parser's, errors too.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "common/text/block_number.hpp"
#include "common/text/parse.hpp"

namespace optipod::text {

class OrdinaryLines {
 public:
  /// Both must outlive this.
  OrdinaryLines(std::string_view body, ParseSink& sink);

  /// Reads lines from `p` (in the body, where a line begins) on and tells the sink. Returns where
  /// the first one begins that is not ordinary, or so near the end that reading in blocks would
  /// leave the body: of that the sink was told nothing.
  const char* lines_at(const char* p);
  [[nodiscard]] std::size_t samples() const { return samples_; }  ///< told so far

 private:
  static constexpr std::size_t kMaxLabels = 16;  ///< uniqueness is checked pair by pair
  struct Text {
    const char* begin;
    std::size_t size;
  };

  [[gnu::always_inline]] const char* sample(const char* p);
  [[gnu::always_inline]] const char* known_form(const char* p);
  const char* new_form(const char* p);
  [[gnu::always_inline]] const char* value(const char* p);
  const char* metadata(const char* p);
  const char* help(const char* p, std::string_view family);
  const char* type(const char* p, std::string_view family);
  const char* name_end(const char* p);
  const char* label_name(const char* p, std::size_t index);
  [[gnu::always_inline]] const char* string_end(const char* p) const;
  [[nodiscard, gnu::always_inline]] bool begins_with(const char* p, const char* known,
                                                     std::size_t size) const;

  const char* end_;
  const char* last_block_;  ///< reading a block here, and some bytes behind it, stays in the body
  const NumberReader numbers_;
  ParseSink& sink_;
  std::size_t samples_ = 0;
  /// Of the lines before: the next line often has the same names, which are then compared, and
  /// known to be unique. Views of the body.
  std::string_view name_;
  std::vector<Label> labels_;
  const std::vector<Label> no_labels_;
  /// What stood around the label values of the sample before: from the line's beginning to the
  /// first of them, between two, and from the last to the number. None when `form_size_` is 0.
  std::array<Text, kMaxLabels + 1> form_;
  std::size_t form_size_ = 0;
  Sample sample_;
};

}  // namespace optipod::text
