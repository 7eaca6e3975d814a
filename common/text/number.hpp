// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace optipod::text {

/// A sample's value as the Prometheus server accepts it: decimal floats with optional sign, inf and
/// infinity in any case with optional sign, nan in any case without. No hex, no underscores,
/// nothing that overflows; what underflows is 0.
std::optional<double> parse_number(std::string_view s);

inline bool is_decimal_digit(char c) {
  return c >= '0' && c <= '9';
}

/// What ends a value in a line of the text format, besides the end of the body.
inline bool ends_value(char c) {
  return c == '\n' || c == ' ' || c == '\t' || c == '{';
}

/// Reads the value at `p`, up to what ends it. Returns where it ends, or null when parse_number()
/// refuses it. Short numbers are read faster by common/text/short_number.hpp.
const char* take_any_number(const char* p, const char* end, double& value);

/// Reads a timestamp: digits that fit 64 bits. Returns where they end, or null.
const char* take_timestamp(const char* p, const char* end, std::int64_t& timestamp_ms);

}  // namespace optipod::text
