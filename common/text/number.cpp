// SPDX-License-Identifier: Apache-2.0
#include "common/text/number.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace optipod::text {
namespace {

bool equals_no_case(std::string_view s, std::string_view lower) {
  return std::equal(s.begin(), s.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

/// Decimals that need more care to round than short ones; null when this is another, or none.
const char* take_long_number(const char* p, const char* end, double& value) {
  const bool negative = p != end && *p == '-';
  if (negative) ++p;
  if (p == end || !is_decimal_digit(*p)) return nullptr;
  const auto [after, error] = std::from_chars(p, end, value, std::chars_format::general);
  if (error != std::errc() || (after != end && !ends_value(*after))) return nullptr;
  if (negative) value = -value;
  return after;
}

/// Whether a decimal that from_chars calls out of range is too large, rather than too small, by the
/// power of ten of its first significant digit.
bool overflows(std::string_view s) {
  const std::size_t e = std::min(s.find_first_of("eE"), s.size());
  const std::string_view mantissa = s.substr(0, e);
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  const std::size_t first = mantissa.find_first_of("123456789");
  if (first == std::string_view::npos) return false;
  const auto magnitude =
      first < point ? static_cast<long>(point - first) - 1 : -static_cast<long>(first - point);
  std::string_view exponent_text = e < s.size() ? s.substr(e + 1) : "0";
  const bool negative = !exponent_text.empty() && exponent_text[0] == '-';
  if (!exponent_text.empty() && !is_decimal_digit(exponent_text[0])) exponent_text.remove_prefix(1);
  long exponent = 0;
  const auto end = exponent_text.data() + exponent_text.size();
  if (std::from_chars(exponent_text.data(), end, exponent).ec != std::errc()) return !negative;
  return (negative ? magnitude - exponent : magnitude + exponent) > 0;
}

}  // namespace

std::optional<double> parse_number(std::string_view s) {
  bool negative = false;
  bool sign = false;
  if (!s.empty() && (s[0] == '+' || s[0] == '-')) {
    negative = s[0] == '-';
    sign = true;
    s.remove_prefix(1);
  }
  if (s.empty()) return std::nullopt;
  if (!is_decimal_digit(s[0]) && s[0] != '.') {
    if (equals_no_case(s, "inf") || equals_no_case(s, "infinity")) {
      const double infinity = std::numeric_limits<double>::infinity();
      return negative ? -infinity : infinity;
    }
    if (!sign && equals_no_case(s, "nan")) return std::numeric_limits<double>::quiet_NaN();
    return std::nullopt;
  }
  double value = 0;
  const auto [end, error] =
      std::from_chars(s.data(), s.data() + s.size(), value, std::chars_format::general);
  if (end != s.data() + s.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    if (overflows(s)) return std::nullopt;
    value = 0;
  } else if (error != std::errc()) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

const char* take_any_number(const char* p, const char* end, double& value) {
  if (const char* after = take_long_number(p, end, value); after != nullptr) return after;
  const char* after = std::find_if(p, end, ends_value);
  const auto parsed = parse_number({p, static_cast<std::size_t>(after - p)});
  if (!parsed) return nullptr;
  value = *parsed;
  return after;
}

const char* take_timestamp(const char* p, const char* end, std::int64_t& timestamp_ms) {
  if (p == end || !is_decimal_digit(*p)) return nullptr;  // from_chars would take a sign
  const auto [after, error] = std::from_chars(p, end, timestamp_ms);
  return error == std::errc() ? after : nullptr;
}

}  // namespace optipod::text
