// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace optipod::app {

/// Makes spdlog's default logger write to standard error: lines for people ("text") or one JSON
/// object a line with time (UTC), level, program and message ("json"). `level` is a name spdlog
/// knows.
void set_up_logging(const std::string& program, const std::string& level,
                    const std::string& format);

/// Appends `s` as the inside of a JSON string; what is not UTF-8 becomes U+FFFD.
void append_json_escaped(std::string& out, std::string_view s);

}  // namespace optipod::app
