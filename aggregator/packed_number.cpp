// SPDX-License-Identifier: Apache-2.0
#include "aggregator/packed_number.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <boost/pool/pool_alloc.hpp>

#include "aggregator/series.hpp"
#include "common/text/exposition.hpp"

namespace optipod::aggregator {
namespace {

using Block = std::array<PackedNumber, kPackedBlock>;
/// 256 at a time: what a pool holds it never gives back, and it touches all that it takes.
using BlockAllocator = boost::fast_pool_allocator<Block, boost::default_user_allocator_new_delete,
                                                  boost::details::pool::default_mutex, 32, 256>;

}  // namespace

PackedNumber::PackedNumber(double value) {
  if (is_stale(value)) return;
  if (!std::isfinite(value)) {
    const NotFinite which = std::isnan(value) ? kNan : value > 0 ? kPlusInfinity : kMinusInfinity;
    bytes_[0] = static_cast<std::uint8_t>(kNotFinite | which << 4);
    return;
  }
  char text[text::kNumberRoom] = {};
  set(text, static_cast<std::size_t>(text::write_number(text, value) - text));
}

void PackedNumber::set(const char* text, std::size_t size) {
#if defined(__SSE2__)
  const auto put = [&](std::size_t from) {
    const __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + from));
    const __m128i other = _mm_cmplt_epi8(c, _mm_set1_epi8('0'));  // all bits: ~c + 57 is 56 - c
    __m128i codes = _mm_add_epi8(_mm_xor_si128(c, other), _mm_set1_epi8(-'0'));
    codes = _mm_add_epi8(codes, _mm_and_si128(other, _mm_set1_epi8('0' + 57)));
    const __m128i exponent = _mm_cmpeq_epi8(c, _mm_set1_epi8('e'));
    codes = _mm_sub_epi8(codes, _mm_and_si128(exponent, _mm_set1_epi8('e' - '0' - kExponent)));
    const __m128i places =
        _mm_add_epi8(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                     _mm_set1_epi8(static_cast<char>(from)));
    const __m128i behind = _mm_cmpgt_epi8(places, _mm_set1_epi8(static_cast<char>(size - 1)));
    codes = _mm_and_si128(_mm_or_si128(codes, behind), _mm_set1_epi8(kLow));
    const __m128i pairs = _mm_or_si128(codes, _mm_srli_epi16(codes, 4));
    return _mm_packus_epi16(_mm_and_si128(pairs, _mm_set1_epi16(0xff)), _mm_setzero_si128());
  };
  _mm_storel_epi64(reinterpret_cast<__m128i*>(bytes_), put(0));
  const int tail = _mm_cvtsi128_si32(put(16));
  std::memcpy(bytes_ + 8, &tail, sizeof tail);
#else
  for (std::size_t i = 0; i < kMost; ++i) {
    const char c = text[i];
    const int code = i >= size ? kEnd : c == 'e' ? kExponent : c < '0' ? 56 - c : c - '0';
    if (i % 2 == 0) bytes_[i / 2] = 0;
    bytes_[i / 2] |= static_cast<std::uint8_t>(code << (i % 2 * 4));
  }
#endif
}

char* PackedNumber::unpack_not_finite(char* to) const {
  constexpr std::array<std::string_view, 3> kTexts{"NaN", "+Inf", "-Inf"};
  const std::string_view text = kTexts[std::min<std::size_t>(code(1), kTexts.size() - 1)];
  return std::copy(text.begin(), text.end(), to);
}

std::shared_ptr<const PackedNumber> pack(std::span<const double> values) {
  const auto fill = [&](auto made) {
    std::transform(values.begin(), values.end(), &(*made)[0],
                   [](double value) { return PackedNumber(value); });
    return std::shared_ptr<const PackedNumber>(made, &(*made)[0]);
  };
  if (values.size() <= kPackedBlock) return fill(std::allocate_shared<Block>(BlockAllocator()));
  return fill(std::make_shared<std::vector<PackedNumber>>(values.size()));
}

}  // namespace optipod::aggregator
