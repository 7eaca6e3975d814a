// SPDX-License-Identifier: Apache-2.0
#include "aggregator/packed_number.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include <boost/pool/pool_alloc.hpp>

#include "aggregator/series.hpp"
#include "common/text/decimal.hpp"
#include "common/text/exposition.hpp"

namespace optipod::aggregator {
namespace {

using Block = std::array<PackedNumber, kPackedBlock>;
/// 256 at a time: what a pool holds it never gives back, and it touches all that it takes.
using BlockAllocator = boost::fast_pool_allocator<Block, boost::default_user_allocator_new_delete,
                                                  boost::details::pool::default_mutex, 32, 256>;

template <class Values, class Make>
std::shared_ptr<const PackedNumber> pack(const Values& values, Make make) {
  const auto fill = [&](auto made) {
    std::transform(values.begin(), values.end(), &(*made)[0], make);
    return std::shared_ptr<const PackedNumber>(made, &(*made)[0]);
  };
  if (values.size() <= kPackedBlock) return fill(std::allocate_shared<Block>(BlockAllocator()));
  return fill(std::make_shared<std::vector<PackedNumber>>(values.size()));
}

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

namespace {

/// Codes one after the other, of sixteen at most.
class Codes {
 public:
  void add(std::uint64_t codes, int count) {
    all_ |= codes << 4 * size_;
    size_ += count;
  }
  [[nodiscard]] std::uint64_t ended(std::uint64_t end) const {
    constexpr std::uint64_t kOnes = 0x1111'1111'1111'1111U;
    return all_ | (end * kOnes) << 4 * size_;
  }

 private:
  std::uint64_t all_ = 0;
  int size_ = 0;  ///< below 16
};

}  // namespace

PackedNumber PackedNumber::rounded(double& value) {
  const auto known = text::shortened(value);
  if (!known) return PackedNumber(value);
  value = known->value;
  const int exponent = known->exponent;
  Codes codes;
  const auto add_with_point = [&](int whole) {
    const std::uint64_t before = (std::uint64_t{1} << 4 * whole) - 1;
    codes.add(known->digits & before, whole);
    if (known->count <= whole) return;
    codes.add(kPoint, 1);
    codes.add(known->digits >> 4 * whole, known->count - whole);
  };
  PackedNumber made;
  if (exponent >= 6 || exponent < -4) {  // as text::write_number() chooses
    const auto size = static_cast<std::uint64_t>(std::abs(exponent));
    add_with_point(1);
    codes.add(kExponent | std::uint64_t{exponent < 0 ? kMinus : kPlus} << 4, 2);
    codes.add(size / 10 | size % 10 << 4, 2);
  } else if (exponent < 0) {
    codes.add(std::uint64_t{kPoint} << 4, 1 - exponent);
    codes.add(known->digits, known->count);
  } else {
    add_with_point(exponent + 1);
  }
  made.set(codes.ended(kEnd));
  return made;
}

void PackedNumber::set(std::uint64_t codes) {
  if constexpr (std::endian::native == std::endian::big) codes = __builtin_bswap64(codes);
  std::memset(bytes_, kEnd | kEnd << 4, sizeof bytes_);
  std::memcpy(bytes_, &codes, sizeof codes);
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
  return pack(values, [](double value) { return PackedNumber(value); });
}

std::shared_ptr<const PackedNumber> pack_rounded(std::span<double> values) {
  return pack(values, [](double& value) { return PackedNumber::rounded(value); });
}

}  // namespace optipod::aggregator
