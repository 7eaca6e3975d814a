// SPDX-License-Identifier: Apache-2.0
#include "common/text/decimal.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "common/text/short_number.hpp"

namespace optipod::text {
namespace {

constexpr int kDigits = 15;  ///< of any decimal, that a double tells apart
constexpr std::uint64_t kZeros = 0x3030'3030'3030'3030U;
constexpr int kLowest = -12, kShort = 9;
/// Powers of ten from 10^kLowest on.
constexpr std::array<double, 29> kFrom = {
    1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0,  1e1, 1e2,
    1e3,   1e4,   1e5,   1e6,  1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16};

/// X of `value`, which is d.ddd × 10^X, within [1e-12, 1e15].
int exponent_of(double value) {
  const auto binary = static_cast<int>(std::bit_cast<std::uint64_t>(value) >> 52) - 1023;
  // 2^binary <= value < 2^(binary + 1): X is the floor of binary × log10(2), or one more.
  const int low = (binary * 315'653) >> 20;
  const auto above = static_cast<std::size_t>(low + 1 - kLowest);
  return low + (value >= kFrom[above] ? 1 : 0);
}

/// Eight digits, with zeros before them, each in a byte, the first in the lowest.
[[gnu::always_inline]] inline std::uint64_t bytes_of_eight(std::uint64_t value) {
  // Halves, quarters and digits side by side, each divided by a multiplication.
  const std::uint64_t high = value / 10'000, fours = high | (value - high * 10'000) << 32;
  const std::uint64_t hundreds = (fours * 5'243 >> 19) & 0x0000'007F'0000'007FU;
  const std::uint64_t twos = hundreds | (fours - hundreds * 100) << 16;
  const std::uint64_t tens = (twos * 103 >> 10) & 0x000F'000F'000F'000FU;
  return tens | (twos - tens * 10) << 8;
}

/// A number's sixteen digits, in registers: what was just written is slow to read at other places.
struct Digits {
  std::uint64_t first, last;

  explicit Digits(std::uint64_t number)
      : first(bytes_of_eight(number / 100'000'000) + kZeros),
        last(bytes_of_eight(number % 100'000'000) + kZeros) {}
  /// Without the zeros at the end.
  [[nodiscard]] int count() const {
    const std::uint64_t end = last != kZeros ? last : first;
    return (last != kZeros ? 16 : 8) - std::countl_zero(end ^ kZeros) / 8;
  }
  void write(char* to) const {
    put(to, first);
    put(to + 8, last);
  }
  /// With a point behind the first `whole`, 1 to 6.
  void write(char* to, int whole) const {
    put(to + 9, last);
    put(to + 1, first);
    const std::uint64_t before = (std::uint64_t{1} << 8 * whole) - 1;
    put(to, (first & before) | std::uint64_t{'.'} << 8 * whole | ((first & ~before) << 8));
  }

 private:
  static void put(char* to, std::uint64_t text) {
    if constexpr (std::endian::native == std::endian::big) text = __builtin_bswap64(text);
    std::memcpy(to, &text, sizeof text);
  }
};

/// d.ddde-05, as to_chars writes what is below 1e-4 or from 1e6 on.
char* write_scientific(char* to, const Digits& digits, int exponent) {
  const int count = digits.count();
  digits.write(to, 1);
  to += count > 1 ? 1 + count : 1;
  *to++ = 'e';
  *to++ = exponent < 0 ? '-' : '+';
  const int size = std::abs(exponent);
  *to++ = static_cast<char>('0' + size / 10);
  *to++ = static_cast<char>('0' + size % 10);
  return to;
}

/// Of a positive number. A call of lround() costs more than all of the rest.
std::int64_t nearest(double value) {
  constexpr double kHalf = 0.5;
  return static_cast<std::int64_t>(value + kHalf);
}

char* write_fixed(char* to, const Digits& digits, int exponent) {
  const int count = digits.count();
  if (exponent < 0) {
    std::string_view("0.000000").copy(to, 8);
    digits.write(to + 1 - exponent);
    return to + 1 - exponent + count;
  }
  const int whole = exponent + 1;
  digits.write(to, whole);
  return to + (count > whole ? 1 + count : whole);
}

}  // namespace

char* write_decimal(char* to, double value) {
  if (std::signbit(value)) {
    *to++ = '-';
    value = -value;
  }
  if (value == 0) {
    *to++ = '0';
    return to;
  }
  if (!(value >= 1e-8 && value < 1e15)) return nullptr;
  const int exponent = exponent_of(value);
  const double power = kPowers[static_cast<std::size_t>(kDigits - 1 - exponent)];
  const auto number = nearest(value * power);
  // A decimal of 15 digits is the only one of as many that gives its double: when this one does, it
  // has the shortest digits, once zeros are off.
  if (number >= 1'000'000'000'000'000 || static_cast<double>(number) / power != value)
    return nullptr;
  const Digits digits(static_cast<std::uint64_t>(number) * 10);
  return exponent >= -4 && exponent < 6 ? write_fixed(to, digits, exponent)
                                        : write_scientific(to, digits, exponent);
}

std::optional<ShortDecimal> shortened(double value) {
  if (!(value >= 1e-12 && value < 1e9)) return std::nullopt;
  constexpr std::uint64_t kOver = 1'000'000'000;
  ShortDecimal made;
  made.exponent = exponent_of(value);
  const double power = kPowers[static_cast<std::size_t>(kShort - 1 - made.exponent)];
  auto number = static_cast<std::uint64_t>(nearest(value * power));
  made.value = static_cast<double>(number) / power;
  if (number == kOver) {  // 9.999… has become 10
    number = kOver / 10;
    ++made.exponent;
  }
  std::uint64_t digits = bytes_of_eight(number / 10);
  digits = (digits | digits >> 4) & 0x00FF'00FF'00FF'00FFU;
  digits = (digits | digits >> 8) & 0x0000'FFFF'0000'FFFFU;
  digits = (digits | digits >> 16) & 0xFFFF'FFFFU;
  made.digits = digits | (number % 10) << 32;
  made.count = (67 - std::countl_zero(made.digits)) / 4;  // not 0
  return made;
}

}  // namespace optipod::text
