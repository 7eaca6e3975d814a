// SPDX-License-Identifier: Apache-2.0
//
// Reading the numbers that pages are full of in blocks: not a branch for each digit but few for
// each number, whose length nobody can predict.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "common/text/scan.hpp"
#include "common/text/short_number.hpp"

namespace optipod::text {

#if OPTIPOD_SCAN
/// What must be readable before a number and, from its beginning on, of it and what follows.
inline constexpr std::size_t kBeforeNumber = 17, kFromNumber = 34;

inline constexpr std::size_t kMostDigits = 21;

/// Ones in the last `count` (0 to kMostDigits; 16 are all) bytes of a block, zeros before.
inline __m128i last_bytes(std::size_t count) {
  constexpr std::uint64_t kOnes = ~std::uint64_t{0};
  alignas(64) static constexpr std::array<std::uint64_t, 5> kBytes = {0, 0, kOnes, kOnes, kOnes};
  return Block(reinterpret_cast<const char*>(kBytes.data()) + count).bytes();
}

/// The value of sixteen digits without their '0': neighbours are joined to pairs, fours, eights.
inline std::uint64_t value_of_sixteen(__m128i digits) {
  // Of a pair the first is the low byte: (first + 256 second) * 2561 has 10 first + second in bits
  // 8 to 15, and what is above leaves the 16 bits.
  const __m128i pairs = _mm_srli_epi16(_mm_mullo_epi16(digits, _mm_set1_epi16(2561)), 8);
  const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(100 | 1 << 16));
  const __m128i eights = _mm_madd_epi16(_mm_packs_epi32(fours, fours),  // fours fit 16 bits
                                        _mm_set1_epi32(10'000 | 1 << 16));
  const auto both = static_cast<std::uint64_t>(_mm_cvtsi128_si64(eights));
  return (both & 0xFFFFFFFFU) * 100'000'000U + (both >> 32);
}

/// Reads at most 15 digits with a blank or control character behind them; null when it is something
/// else. `digits` becomes how many are there, 16 when there are more.
inline const char* take_whole(const char* p, std::size_t& digits, std::int64_t& value) {
  digits = static_cast<std::size_t>(std::countr_one(Block(p).digits()));
  if (digits - 1 >= 15 || static_cast<unsigned char>(p[digits]) > ' ') return nullptr;
  const __m128i right = Block(p + digits - Block::kSize).bytes();
  const __m128i number = _mm_and_si128(_mm_sub_epi8(right, _mm_set1_epi8('0')), last_bytes(digits));
  value = static_cast<std::int64_t>(value_of_sixteen(number));
  return p + digits;
}

/// The same for a number that take_whole() has refused, because of what stands behind its `digits`.
const char* take_broken(const char* p, std::size_t digits, double& value);

/// Reads the number at `p`, up to a blank or control character. Null when it is none, or of a form
/// that is left to take_number().
inline const char* take_block_number(const char* p, double& value) {
  // Zero and the like: many, and the same ones in each scrape, so that the next line need not wait.
  const unsigned digit = static_cast<unsigned char>(p[0]) - unsigned{'0'};
  if (static_cast<unsigned char>(p[1]) <= ' ' && digit <= 9) {
    value = static_cast<double>(digit);
    return p + 1;
  }
  std::size_t digits = 0;
  std::int64_t whole = 0;
  const char* const end = take_whole(p, digits, whole);
  if (end == nullptr) return take_broken(p, digits, value);
  value = static_cast<double>(whole);
  return end;
}
#endif

/// Reads the values and timestamps of a page. What it accepts, and where that ends, is what
/// take_number() and take_timestamp() say, but for one thing: behind a value may stand any control
/// character. The caller looks at what is there anyway.
class NumberReader {
 public:
  NumberReader(const char* begin, const char* end) : end_(end) {
#if OPTIPOD_SCAN
    if (static_cast<std::size_t>(end - begin) < kBeforeNumber + kFromNumber) return;
    first_ = begin + kBeforeNumber;
    places_ = static_cast<std::size_t>(end - kFromNumber - first_) + 1;
#else
    (void)begin;
#endif
  }

  const char* value(const char* p, double& value) const {
#if OPTIPOD_SCAN
    if (static_cast<std::size_t>(p - first_) < places_) {
      if (const char* end = take_block_number(p, value); end != nullptr) return end;
    }
#endif
    return take_number(p, end_, value);
  }

  const char* timestamp(const char* p, std::int64_t& ms) const {
#if OPTIPOD_SCAN
    std::size_t digits = 0;
    if (static_cast<std::size_t>(p - first_) < places_) {
      if (const char* end = take_whole(p, digits, ms); end != nullptr) return end;
    }
#endif
    return take_timestamp(p, end_, ms);
  }

 private:
  const char* end_;
#if OPTIPOD_SCAN
  const char* first_ = nullptr;
  std::size_t places_ = 0;  ///< from first_ on, where a block may be read
#endif
};

}  // namespace optipod::text
