// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

namespace optipod::text {

/// Length of the longest prefix of `s` that is valid UTF-8 (RFC 3629: no overlong forms, no
/// surrogates, nothing above U+10FFFF), as Go's utf8.Valid judges it.
std::size_t utf8_valid_prefix(std::string_view s);

inline bool utf8_valid(std::string_view s) {
  return utf8_valid_prefix(s) == s.size();
}

/// What a byte that is not UTF-8 is replaced by where text must not be refused: U+FFFD.
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace optipod::text
