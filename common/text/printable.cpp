// SPDX-License-Identifier: Apache-2.0
#include "common/text/printable.hpp"

#include <iterator>

#include <fmt/format.h>

namespace optipod::text {

std::string printable(std::string_view s) {
  constexpr std::size_t kMost = 40;
  std::string out;
  for (const char c : s.substr(0, kMost)) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u >= 0x7F) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", u);
    } else {
      out.push_back(c);
    }
  }
  return s.size() > kMost ? out + "..." : out;
}

}  // namespace optipod::text
