// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/json_text.hpp"

#include <algorithm>

namespace optipod::extender::wire {
namespace {

bool needs_escape(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\';
}

}  // namespace

void append_string(std::string& out, std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  if (std::ranges::none_of(text, needs_escape)) {
    out += text;
  } else {
    for (const char c : text) {
      if (!needs_escape(c)) {
        out += c;
      } else if (c == '"' || c == '\\') {
        out += '\\';
        out += c;
      } else {
        out += "\\u00";
        out += kHex[static_cast<unsigned char>(c) >> 4];
        out += kHex[static_cast<unsigned char>(c) & 0xf];
      }
    }
  }
  out += '"';
}

}  // namespace optipod::extender::wire
