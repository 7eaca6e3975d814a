// SPDX-License-Identifier: Apache-2.0
//
// Looking at many bytes at a time, for the parsers of this room. Every x86-64 has this; elsewhere
// OPTIPOD_SCAN is 0 and the parsers go byte by byte.
#pragma once

#if defined(__SSE2__)
#define OPTIPOD_SCAN 1
#include <emmintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace optipod::text {

/// Sixteen bytes; a mask has bit i set when byte i is meant.
class Block {
 public:
  static constexpr std::size_t kSize = 16;
  explicit Block(const char* p) : bytes_(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))) {}

  [[nodiscard]] unsigned equal(char c) const {
    return mask(_mm_cmpeq_epi8(bytes_, _mm_set1_epi8(c)));
  }
  [[nodiscard]] unsigned not_ascii() const { return mask(bytes_); }
  /// Control characters below the blank, and what is not ASCII.
  [[nodiscard]] unsigned not_text() const {
    return mask(_mm_cmplt_epi8(bytes_, _mm_set1_epi8(' ')));  // of signed bytes
  }
  [[nodiscard]] unsigned digits() const { return mask(between(bytes_, '0', '9')); }
  /// Blanks and control characters.
  [[nodiscard]] unsigned up_to_blank() const { return mask(between(bytes_, 0, ' ')); }
  [[nodiscard]] __m128i bytes() const { return bytes_; }
  [[nodiscard]] unsigned differs(const Block& other) const {
    return ~mask(_mm_cmpeq_epi8(bytes_, other.bytes_)) & 0xFFFFU;
  }
  /// Not [a-zA-Z0-9_:], what names are made of.
  [[nodiscard]] unsigned not_of_name() const {
    const __m128i letter = between(_mm_or_si128(bytes_, _mm_set1_epi8(0x20)), 'a', 'z');
    const __m128i digit_or_colon = between(bytes_, '0', ':');
    const __m128i underscore = _mm_cmpeq_epi8(bytes_, _mm_set1_epi8('_'));
    return ~mask(_mm_or_si128(_mm_or_si128(letter, digit_or_colon), underscore)) & 0xFFFFU;
  }

 private:
  static unsigned mask(__m128i v) { return static_cast<unsigned>(_mm_movemask_epi8(v)); }
  static __m128i between(__m128i v, char low, char high) {
    const __m128i from_low = _mm_sub_epi8(v, _mm_set1_epi8(low));
    const __m128i span = _mm_set1_epi8(static_cast<char>(high - low));
    return _mm_cmpeq_epi8(_mm_min_epu8(from_low, span), from_low);
  }
  __m128i bytes_;
};

/// Whether `size` bytes are equal. At both places Block::kSize bytes more must be readable.
inline bool same_bytes(const char* a, const char* b, std::size_t size) {
  for (; size > Block::kSize; a += Block::kSize, b += Block::kSize, size -= Block::kSize) {
    if (Block(a).differs(Block(b)) != 0) return false;
  }
  return (Block(a).differs(Block(b)) & ((1U << size) - 1)) == 0;
}

}  // namespace optipod::text
#else
#define OPTIPOD_SCAN 0
#endif
