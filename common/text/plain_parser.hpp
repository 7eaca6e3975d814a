// SPDX-License-Identifier: Apache-2.0
//
// The text format read byte by byte, every form and every error of it: what parse() falls back on
// for lines that are not of the ordinary form, and what it is compared with in tests and by the
// fuzzer. For users of the format: common/text/parse.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/text/parse.hpp"

namespace optipod::text {

class PlainParser {
 public:
  /// Both must outlive this.
  PlainParser(std::string_view body, ParseSink& sink)
      : begin_(body.data()), p_(begin_), end_(begin_ + body.size()), sink_(sink) {}

  /// Reads the line at `p` (in the body, where a line begins). Returns where the next one begins;
  /// null when the line is wrong: then error() tells why.
  const char* line_at(const char* p);
  [[nodiscard]] ParseError error() const;
  [[nodiscard]] std::size_t samples() const { return samples_; }  ///< told so far

 private:
  /// A quoted string: a view of the body, or a range of scratch_ when it had escapes.
  struct Quoted {
    std::string_view raw;
    std::size_t offset = 0, length = 0;
    bool escaped = false;
  };

  bool fail(std::string what);
  bool expected(std::string_view what);
  void skip_blanks();
  [[nodiscard]] bool at(char c) const { return p_ != end_ && *p_ == c; }
  bool take(char c);
  bool end_of_line(std::string_view what);
  std::string_view take_line();
  std::string_view take_word(std::uint8_t start, std::uint8_t rest);
  bool take_quoted(Quoted& out);
  [[nodiscard]] std::string_view resolve(const Quoted& q) const;

  bool line();
  bool comment();
  bool type_text(std::string_view name, std::string_view text, const char* at);
  bool help_text(std::string_view name, std::string_view text, const char* at);
  bool sample();
  bool label_set(Quoted& name);
  bool unique_labels();
  bool value_and_time(const Quoted& name);

  const char* begin_;
  const char* p_;
  const char* end_;
  ParseSink& sink_;
  std::size_t samples_ = 0;
  std::string error_;
  const char* error_at_ = nullptr;
  std::vector<Label> labels_;
  std::vector<std::pair<Quoted, Quoted>> quoted_;
  std::vector<const Label*> sorted_;
  std::string scratch_, help_;  ///< unescaped text of the current line
};

/// parse() by the above alone.
tl::expected<std::size_t, ParseError> parse_plain(std::string_view body, ParseSink& sink);

}  // namespace optipod::text
