// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "common/text/utf8.hpp"

namespace optipod::agent {

/// Fills a record's text field, NUL-padded; what does not fit is cut between characters.
template <std::size_t N>
void set_text(char (&field)[N], std::string_view text) {
  text = text.substr(0, text::utf8_valid_prefix(text.substr(0, N - 1)));
  std::memcpy(field, text.data(), text.size());
  std::memset(field + text.size(), 0, N - text.size());
}

}  // namespace optipod::agent
