// SPDX-License-Identifier: Apache-2.0
//
// Numbers as /federate writes them, made once: finding a double's shortest digits is the most of a
// line, and what is asked for every second may be scraped less often.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace optipod::aggregator {

/// A double's text, as text::write_number() makes it, four bits a character: there are fewer than
/// sixteen, and what takes little memory is read soon. Immutable.
class PackedNumber {
 public:
  static constexpr std::size_t kMost = 24;  ///< bytes of a double's text
  static constexpr std::size_t kRoom = 32;  ///< unpack() writes so many, whatever they are

  PackedNumber() = default;  ///< of a value that is not there
  /// stale() is not there.
  explicit PackedNumber(double value);
  /// The same of `value` in nine digits, which it becomes; as it is when it is negative, or so
  /// small or large that a double has hardly more.
  static PackedNumber rounded(double& value);

  [[nodiscard]] bool absent() const { return (bytes_[0] & kLow) == kEnd; }
  /// Writes the text to `to`, with what is meaningless behind it; returns the text's end.
  inline char* unpack(char* to) const;

 private:
  static constexpr std::uint8_t kLow = 0x0f;
  /// 0 to 9 are digits; those above are 56 less the character, but for e.
  static constexpr std::uint8_t kPoint = 10, kMinus = 11, kExponent = 12, kPlus = 13,
                                kNotFinite = 14, kEnd = 15;
  /// Behind kNotFinite.
  enum NotFinite : std::uint8_t { kNan, kPlusInfinity, kMinusInfinity };

  void set(const char* text, std::size_t size);
  void set(std::uint64_t codes);
  [[nodiscard]] std::uint8_t code(std::size_t i) const {
    return i % 2 == 0 ? bytes_[i / 2] & kLow : bytes_[i / 2] >> 4;
  }
  char* unpack_not_finite(char* to) const;

  std::uint8_t bytes_[kMost / 2] = {kEnd};  ///< the first character is in the low bits
};

/// One a value. What is as long as the scheduling view comes from a pool of such blocks: a reader
/// takes one number of each of thousands, which must not lie on a page each.
std::shared_ptr<const PackedNumber> pack(std::span<const double> values);
/// The same, rounded.
std::shared_ptr<const PackedNumber> pack_rounded(std::span<double> values);
inline constexpr std::size_t kPackedBlock = 64;  ///< numbers; as many, or fewer, are in the pool

inline char* PackedNumber::unpack(char* to) const {
  if ((bytes_[0] & kLow) == kNotFinite) return unpack_not_finite(to);
#if defined(__SSE2__)
  std::uint32_t tail = 0;
  std::memcpy(&tail, bytes_ + 8, sizeof tail);
  const __m128i all = _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes_)),
                                         _mm_cvtsi32_si128(static_cast<int>(tail)));
  const __m128i low = _mm_and_si128(all, _mm_set1_epi8(kLow));
  const __m128i high = _mm_and_si128(_mm_srli_epi16(all, 4), _mm_set1_epi8(kLow));
  unsigned ends = 1U << kMost;
  unsigned shift = 0;
  for (const __m128i codes : {_mm_unpacklo_epi8(low, high), _mm_unpackhi_epi8(low, high)}) {
    const __m128i end = _mm_cmpeq_epi8(codes, _mm_set1_epi8(kEnd));
    ends |= static_cast<unsigned>(_mm_movemask_epi8(end)) << shift;
    const __m128i other = _mm_cmpgt_epi8(codes, _mm_set1_epi8(9));  // all bits: ~c + 57 is 56 - c
    const __m128i exponent = _mm_cmpeq_epi8(codes, _mm_set1_epi8(kExponent));
    __m128i text = _mm_add_epi8(_mm_xor_si128(codes, other), _mm_set1_epi8('0'));
    text = _mm_add_epi8(text, _mm_and_si128(other, _mm_set1_epi8(9)));
    text = _mm_add_epi8(text, _mm_and_si128(exponent, _mm_set1_epi8('e' - (56 - kExponent))));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + shift), text);
    shift += 16;
  }
  return to + std::countr_zero(ends);
#else
  for (std::size_t i = 0; i < kMost && code(i) != kEnd; ++i) {
    const std::uint8_t c = code(i);
    *to++ = static_cast<char>(c < 10 ? '0' + c : c == kExponent ? 'e' : 56 - c);
  }
  return to;
#endif
}

}  // namespace optipod::aggregator
