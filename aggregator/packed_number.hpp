// SPDX-License-Identifier: Apache-2.0
//
// Numbers as /federate writes them, made once: finding a double's digits is the most of a line, and
// what is asked for every second may be scraped less often. Nine digits are enough for what was
// computed, and are as long as a double.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/text/decimal.hpp"
#include "common/text/exposition.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace optipod::aggregator {

/// A double in nine digits, or a whole number below 2^53 as it is, by its text: four bits a
/// character, as there are fewer than sixteen. Immutable.
class PackedNumber {
 public:
  static constexpr std::size_t kRoom = text::kNumberRoom;  ///< for what unpack() writes

  PackedNumber() = default;  ///< of a value that is not there
  /// stale() is not there.
  explicit PackedNumber(double value);

  [[nodiscard]] bool absent() const { return (codes_ & kLow) == kEnd; }
  /// What the text reads as; stale() when absent.
  [[nodiscard]] double value() const;
  /// Writes the text, which is text::write_number()'s of value(), to `to`, with what is meaningless
  /// behind it; returns the text's end. Not of one that is absent.
  inline char* unpack(char* to) const;

 private:
  static constexpr std::size_t kMost = 16;  ///< characters; of fewer, kEnd follows
  static constexpr std::uint64_t kLow = 0x0f;
  /// 0 to 9 are digits; those above are 56 less the character, but for e.
  static constexpr std::uint8_t kPoint = 10, kMinus = 11, kExponent = 12, kPlus = 13, kOther = 14,
                                kEnd = 15;
  /// Behind kOther: no characters. Of whole numbers the magnitude is in the upper 56 bits.
  enum Other : std::uint8_t { kNan, kPlusInfinity, kMinusInfinity, kWhole, kMinusWhole };

  static PackedNumber of_short(const text::ShortDecimal& number);
  static PackedNumber of_long(double value);
  bool set_text(double value);
  [[nodiscard]] double other_value() const;
  char* unpack_other(char* to) const;

  std::uint64_t codes_ = kEnd;  ///< the first character is in the low bits
};

/// One a value. What is as long as the scheduling view comes from a pool of such blocks: a reader
/// takes one number of each of thousands, which must not lie on a page each.
std::shared_ptr<const PackedNumber> pack(std::span<const double> values);
inline constexpr std::size_t kPackedBlock = 64;  ///< numbers; as many, or fewer, are in the pool

inline char* PackedNumber::unpack(char* to) const {
  if ((codes_ & kLow) == kOther) return unpack_other(to);
#if defined(__SSE2__)
  const __m128i all = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(&codes_));
  const __m128i low = _mm_and_si128(all, _mm_set1_epi8(kLow));
  const __m128i high = _mm_and_si128(_mm_srli_epi16(all, 4), _mm_set1_epi8(kLow));
  const __m128i codes = _mm_unpacklo_epi8(low, high);
  const __m128i end = _mm_cmpeq_epi8(codes, _mm_set1_epi8(kEnd));
  const __m128i over = _mm_cmpgt_epi8(codes, _mm_set1_epi8(9));  // all bits: ~c + 57 is 56 - c
  const __m128i exponent = _mm_cmpeq_epi8(codes, _mm_set1_epi8(kExponent));
  __m128i text = _mm_add_epi8(_mm_xor_si128(codes, over), _mm_set1_epi8('0'));
  text = _mm_add_epi8(text, _mm_and_si128(over, _mm_set1_epi8(9)));
  text = _mm_add_epi8(text, _mm_and_si128(exponent, _mm_set1_epi8('e' - (56 - kExponent))));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), text);
  return to + std::countr_zero(1U << kMost | static_cast<unsigned>(_mm_movemask_epi8(end)));
#else
  std::uint64_t codes = codes_;
  for (std::size_t i = 0; i < kMost && (codes & kLow) != kEnd; ++i, codes >>= 4) {
    const auto c = static_cast<char>(codes & kLow);
    *to++ = static_cast<char>(c < 10 ? '0' + c : c == kExponent ? 'e' : 56 - c);
  }
  return to;
#endif
}

}  // namespace optipod::aggregator
