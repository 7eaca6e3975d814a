// SPDX-License-Identifier: Apache-2.0
//
// Reading values in the loops over many: the numbers that pages are full of inline, all others by
// common/text/number.hpp.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/text/number.hpp"

namespace optipod::text {

// Powers of ten that a double holds exactly: a whole number below 2^53 times or over one of them is
// rounded once, so it is the nearest double (Clinger, "How to read floating point numbers
// accurately", 1990).
inline constexpr std::array<double, 23> kPowers = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/// Eight characters, the first in the lowest byte.
inline std::uint64_t load_eight(const char* p) {
  std::uint64_t eight = 0;
  std::memcpy(&eight, p, sizeof eight);
  if constexpr (std::endian::native == std::endian::big) eight = __builtin_bswap64(eight);
  return eight;
}

/// The value of eight digits without their '0': neighbours are joined to pairs, fours, all.
inline std::uint64_t value_of_digits(std::uint64_t digits) {
  constexpr std::uint64_t kPairs = 0x000000FF000000FFU;
  constexpr std::uint64_t kHigh = 100 + (std::uint64_t{1'000'000} << 32);
  constexpr std::uint64_t kLow = 1 + (std::uint64_t{10'000} << 32);
  digits = digits * 10 + (digits >> 8);
  return ((digits & kPairs) * kHigh + ((digits >> 16) & kPairs) * kLow) >> 32;
}

/// Adds decimal digits to `number`, which wraps when there are more than 19 in all. Eight at a
/// time, and however many there are without a branch for each: their number is hard to predict.
inline const char* take_digits(const char* p, const char* end, std::uint64_t& number) {
  constexpr std::array<std::uint64_t, 8> kTens = {1,      10,      100,       1'000,
                                                  10'000, 100'000, 1'000'000, 10'000'000};
  while (end - p >= 8) {
    const std::uint64_t digits = load_eight(p) ^ 0x3030303030303030U;
    // The highest bit of each byte that is over 9; a carry spoils only what is behind such a byte.
    const std::uint64_t others = (digits | (digits + 0x7676767676767676U)) & 0x8080808080808080U;
    if (others == 0) {
      number = number * 100'000'000 + value_of_digits(digits);
      p += 8;
      continue;
    }
    const auto count = static_cast<unsigned>(std::countr_zero(others)) / 8;
    if (count == 0) return p;
    number = number * kTens[count] + value_of_digits(digits << (64 - 8 * count));
    return p + count;
  }
  for (; p != end && is_decimal_digit(*p); ++p)
    number = number * 10 + static_cast<unsigned>(*p - '0');
  return p;
}

/// The exponent behind "e", at most three digits; null when it is another.
inline const char* take_exponent(const char* p, const char* end, int& exponent) {
  const bool negative = p != end && *p == '-';
  if (p != end && (*p == '-' || *p == '+')) ++p;
  std::uint64_t digits = 0;
  const char* after = take_digits(p, end, digits);
  if (after == p || after - p > 3) return nullptr;
  exponent += negative ? -static_cast<int>(digits) : static_cast<int>(digits);
  return after;
}

/// Reads the numbers that pages are full of; null when this is another, or none.
inline const char* take_short_number(const char* p, const char* end, double& value) {
  const bool negative = p != end && *p == '-';
  if (negative) ++p;
  std::uint64_t number = 0;
  const char* after = take_digits(p, end, number);
  std::ptrdiff_t digits = after - p;
  int exponent = 0;
  if (after != end && *after == '.') {
    const char* fraction = after + 1;
    after = take_digits(fraction, end, number);
    digits += after - fraction;
    if (digits > 19) return nullptr;
    exponent = -static_cast<int>(after - fraction);
  }
  if (digits == 0 || digits > 19 || number > (std::uint64_t{1} << 53)) return nullptr;
  if (after != end && (*after == 'e' || *after == 'E')) {
    after = take_exponent(after + 1, end, exponent);
    if (after == nullptr) return nullptr;
  }
  if (after != end && !ends_value(*after)) return nullptr;
  const auto exact = static_cast<double>(number);
  if (exponent < -22 || exponent > 22) return nullptr;
  value = exponent < 0 ? exact / kPowers[static_cast<std::size_t>(-exponent)]
                       : exact * kPowers[static_cast<std::size_t>(exponent)];
  if (negative) value = -value;
  return after;
}

/// Reads the value at `p`, up to what ends it. Returns where it ends, or null when parse_number()
/// refuses it.
inline const char* take_number(const char* p, const char* end, double& value) {
  const char* after = take_short_number(p, end, value);
  return after != nullptr ? after : take_any_number(p, end, value);
}

}  // namespace optipod::text
