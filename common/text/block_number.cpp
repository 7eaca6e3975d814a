// SPDX-License-Identifier: Apache-2.0
#include "common/text/block_number.hpp"

#if OPTIPOD_SCAN
#include <cstring>

namespace optipod::text {
namespace {

constexpr unsigned kMostTens = kPowers.size() - 1;

/// A power of ten as one factor and one divisor, of which one is 1: there is no branch then.
struct Scale {
  double times, over;
};
constexpr std::array<Scale, 2 * kMostTens + 1> kScales = [] {
  std::array<Scale, 2 * kMostTens + 1> scales{};
  for (std::size_t i = 0; i < kPowers.size(); ++i) {
    scales[kMostTens + i] = {kPowers[i], 1};
    scales[kMostTens - i] = {1, kPowers[i]};
  }
  return scales;
}();

constexpr std::array<std::uint64_t, kPowers.size()> kFives = [] {
  std::array<std::uint64_t, kPowers.size()> fives{1};
  for (std::size_t i = 1; i < fives.size(); ++i) fives[i] = fives[i - 1] * 5;
  return fives;
}();

/// The double next to `number` over 10 to the power of `tens`: the quotient's first 62 bits or more
/// decide, with the last one set when there is a remainder; then it is rounded, once.
[[gnu::noinline]] double over_tens(std::uint64_t number, unsigned tens) {
  __extension__ using Wide = unsigned __int128;
  const int of_number = std::countl_zero(number), of_five = std::countl_zero(kFives[tens]);
  const std::uint64_t five = kFives[tens] << of_five;
  const Wide dividend = Wide{number << of_number} << 62;
  auto quotient = static_cast<std::uint64_t>(dividend / five);  // below 2^63
  if (static_cast<std::uint64_t>(dividend) != quotient * five) quotient |= 1;
  const int power = of_five - of_number - 62 - static_cast<int>(tens);
  const auto scale = std::bit_cast<double>(static_cast<std::uint64_t>(1023 + power) << 52);
  return static_cast<double>(static_cast<std::int64_t>(quotient)) * scale;
}

/// Go's "e+07" before `end`.
struct Exponent {
  unsigned there = 0;  ///< or 1
  unsigned value = 0;  ///< of two's complement
};
inline Exponent exponent_before(const char* end) {
  std::uint32_t rest = 0;  // each byte less the least that may stand there: a byte that is less
  std::memcpy(&rest, end - 4, sizeof rest);  // borrows of the next, but is wrong itself
  rest -= 'e' | '+' << 8 | '0' << 16 | '0' << 24;
  const unsigned there =
      ((rest & 0xF0F0FDFFU) | ((rest + 0x06060000U) & 0xF0F00000U)) == 0 ? 1U : 0U;
  const unsigned digits = (rest >> 16 & 15) * 10 + (rest >> 24);
  const unsigned minus = 0U - (rest >> 9 & 1);
  return {there, ((digits ^ minus) - minus) & (0U - there)};
}

/// Adds the first digits of a number, which are `more` than a block holds, to the value of the
/// others.
[[gnu::noinline]] bool add_first(const char* p, std::size_t more, std::uint64_t& number) {
  constexpr std::uint64_t kBlock = 10'000'000'000'000'000;
  std::uint64_t first = 0;
  for (; more != 0; --more, ++p) {
    p += *p == '.' ? 1 : 0;
    if (!is_decimal_digit(*p)) return false;
    first = first * 10 + static_cast<unsigned>(*p - '0');
  }
  if (first >= ~std::uint64_t{0} / kBlock) return false;
  number += first * kBlock;
  return true;
}

[[gnu::noinline]] const char* take_negative(const char* p, double& value) {
  if (*p != '-' || !is_decimal_digit(p[1])) return nullptr;
  const char* const end = take_block_number(p + 1, value);
  value = -value;
  return end;
}

}  // namespace

const char* take_broken(const char* p, std::size_t digits, double& value) {
  if (digits == 0) return take_negative(p, value);
  const unsigned stops = Block(p).up_to_blank() | Block(p + Block::kSize).up_to_blank() << 16;
  if (stops == 0) return nullptr;
  const auto length = static_cast<std::size_t>(std::countr_zero(stops));
  const Exponent exponent = exponent_before(p + length);
  const std::size_t mantissa = length - 4 * exponent.there;
  const std::size_t point = p[digits] == '.' ? 1 : 0;
  const std::size_t fraction = point == 0 ? 0 : mantissa - digits - 1;
  const std::size_t all = mantissa - point;
  if (all > kMostDigits) return nullptr;

  // The last sixteen digits: those behind the point as they stand, those before moved by one.
  const __m128i behind = last_bytes(point == 0 ? 16 : fraction);
  const char* const last = p + mantissa - Block::kSize;
  __m128i number16 = _mm_or_si128(_mm_and_si128(behind, Block(last).bytes()),
                                  _mm_andnot_si128(behind, Block(last - 1).bytes()));
  number16 = _mm_and_si128(_mm_sub_epi8(number16, _mm_set1_epi8('0')), last_bytes(all));
  const __m128i nine = _mm_min_epu8(number16, _mm_set1_epi8(9));
  if (_mm_movemask_epi8(_mm_cmpeq_epi8(nine, number16)) != 0xFFFF) return nullptr;
  std::uint64_t number = value_of_sixteen(number16);
  if (all > 16 && !add_first(p, all - 16, number)) return nullptr;

  const unsigned scale = kMostTens + exponent.value - static_cast<unsigned>(fraction);
  if (scale > 2 * kMostTens) return nullptr;
  if (number <= std::uint64_t{1} << 53) {
    value = static_cast<double>(static_cast<std::int64_t>(number)) * kScales[scale].times /
            kScales[scale].over;
    return p + length;
  }
  if (scale > kMostTens) return nullptr;
  value = over_tens(number, kMostTens - scale);
  return p + length;
}

}  // namespace optipod::text
#endif
