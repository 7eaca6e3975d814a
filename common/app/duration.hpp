// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace optipod::app {

/// Reads "500ms", "1s", "1.5s", "2m", "1h30m", "1d". The error says what is wrong and gives an
/// example.
tl::expected<std::chrono::milliseconds, std::string> parse_duration(std::string_view text);

/// The shortest spelling that parse_duration reads back: "500ms", "90s" as "1m30s".
std::string format_duration(std::chrono::milliseconds value);

}  // namespace optipod::app
