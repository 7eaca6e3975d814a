// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace optipod::http {

/// Appends `s` with %XX decoded, and '+' as a blank when `plus_is_blank` (queries, not paths).
/// False when an escape is malformed or decodes to NUL; `out` then holds what came before.
bool percent_decode(std::string_view s, bool plus_is_blank, std::string& out);

/// `s` with everything but unreserved characters escaped: for one query value or path segment.
std::string percent_encode(std::string_view s);

}  // namespace optipod::http
