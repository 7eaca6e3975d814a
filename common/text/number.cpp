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

bool is_digit(char c) {
  return c >= '0' && c <= '9';
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
  if (!exponent_text.empty() && !is_digit(exponent_text[0])) exponent_text.remove_prefix(1);
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
  if (!is_digit(s[0]) && s[0] != '.') {
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

}  // namespace optipod::text
