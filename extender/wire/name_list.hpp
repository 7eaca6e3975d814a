// SPDX-License-Identifier: Apache-2.0
//
// The list of names in a request, read before its text is parsed: most of the text is that list,
// and a parser finds its way through it several times slower than this. Only for a list as Go
// writes it, of names as nodes have them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace optipod::extender::wire {

/// Keeps its memory from request to request. Not thread-safe.
class NameList {
 public:
  /// Readable bytes that must follow a request's text, and follow rest().
  static constexpr std::size_t kPadding = 64;

  /// Looks for `"NodeNames":["…","…"]` with nothing between the strings, and nothing in them but
  /// ASCII without quotes, backslashes and control characters; at most `most` of them. True: they
  /// are names(), and rest() is the text without them. Whether that was the member of that name, of
  /// an object that is one, is for the parser of rest() to say.
  bool cut(std::string_view text, std::size_t most);
  void clear();

  /// Views into the text.
  [[nodiscard]] std::vector<std::string_view>& names() { return names_; }
  /// The text with `[]` for the list; valid until the next cut() or clear().
  [[nodiscard]] std::string_view rest() const { return {rest_.data(), rest_size_}; }
  /// Whether `at` is where that `[]` is in rest().
  [[nodiscard]] bool is_at(const char* at) const {
    return rest_size_ != 0 && at == rest_.data() + list_at_;
  }

 private:
  const char* read(const char* at, const char* end, std::size_t most);

  std::vector<std::string_view> names_;
  std::string rest_;
  std::size_t rest_size_ = 0;  ///< 0: nothing was cut
  std::size_t list_at_ = 0;
};

}  // namespace optipod::extender::wire
