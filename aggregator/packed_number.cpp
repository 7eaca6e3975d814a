// SPDX-License-Identifier: Apache-2.0
#include "aggregator/packed_number.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <string_view>
#include <vector>

#include <boost/pool/pool_alloc.hpp>

#include "aggregator/series.hpp"

namespace optipod::aggregator {
namespace {

using Block = std::array<PackedNumber, kPackedBlock>;
/// 256 at a time: what a pool holds it never gives back, and it touches all that it takes.
using BlockAllocator = boost::fast_pool_allocator<Block, boost::default_user_allocator_new_delete,
                                                  boost::details::pool::default_mutex, 32, 256>;

constexpr double kMostWhole = 9007199254740992;  // 2^53

/// Codes one after the other, of sixteen at most.
class Codes {
 public:
  void add(std::uint64_t codes, int count) {
    all_ |= codes << 4 * size_;
    size_ += count;
  }
  [[nodiscard]] std::uint64_t ended(std::uint64_t end) const {
    constexpr std::uint64_t kOnes = 0x1111'1111'1111'1111U;
    return size_ == 16 ? all_ : all_ | (end * kOnes) << 4 * size_;
  }

 private:
  std::uint64_t all_ = 0;
  int size_ = 0;
};

}  // namespace

PackedNumber::PackedNumber(double value) {
  constexpr std::uint64_t kZero = ~kLow;  // and kEnd behind it, over and over
  if (std::bit_cast<std::uint64_t>(value) == 0) {
    codes_ = kZero;
  } else if (const auto known = text::shortened(value)) {
    *this = of_short(*known);
  } else if (!is_stale(value) && !set_text(value)) {
    *this = of_long(value);
  }
}

/// Laid out as text::write_number() does.
PackedNumber PackedNumber::of_short(const text::ShortDecimal& number) {
  Codes codes;
  const auto add_with_point = [&](int whole) {
    const std::uint64_t before = (std::uint64_t{1} << 4 * whole) - 1;
    codes.add(number.digits & before, whole);
    if (number.count <= whole) return;
    codes.add(kPoint, 1);
    codes.add(number.digits >> 4 * whole, number.count - whole);
  };
  const int exponent = number.exponent;
  if (exponent >= 6 || exponent < -4) {
    const auto size = static_cast<std::uint64_t>(std::abs(exponent));
    add_with_point(1);
    codes.add(kExponent | std::uint64_t{exponent < 0 ? kMinus : kPlus} << 4, 2);
    codes.add(size / 10 | size % 10 << 4, 2);
  } else if (exponent < 0) {
    codes.add(std::uint64_t{kPoint} << 4, 1 - exponent);
    codes.add(number.digits, number.count);
  } else {
    add_with_point(exponent + 1);
  }
  PackedNumber made;
  made.codes_ = codes.ended(kEnd);
  return made;
}

/// Of what is finite and whose text is short enough; else false.
bool PackedNumber::set_text(double value) {
  if (!std::isfinite(value)) return false;
  char text[text::kNumberRoom];
  const std::string_view all(text,
                             static_cast<std::size_t>(text::write_number(text, value) - text));
  if (all.size() > kMost) return false;
  Codes codes;
  for (const char c : all) {
    codes.add(static_cast<std::uint64_t>(c == 'e' ? kExponent : c < '0' ? 56 - c : c - '0'), 1);
  }
  codes_ = codes.ended(kEnd);
  return true;
}

/// Of what has a long text, or none of digits.
PackedNumber PackedNumber::of_long(double value) {
  const auto other = [](Other which, std::uint64_t magnitude = 0) {
    PackedNumber made;
    made.codes_ = kOther | std::uint64_t{which} << 4 | magnitude << 8;
    return made;
  };
  if (std::isnan(value)) return other(kNan);
  if (std::isinf(value)) return other(value > 0 ? kPlusInfinity : kMinusInfinity);
  if (std::abs(value) < kMostWhole && value == std::trunc(value)) {
    return other(value > 0 ? kWhole : kMinusWhole, static_cast<std::uint64_t>(std::abs(value)));
  }
  char text[text::kNumberRoom];
  const auto end = std::to_chars(text, std::end(text), value, std::chars_format::scientific, 8).ptr;
  std::from_chars(text, end, value);
  PackedNumber made;
  made.set_text(value);  // cannot fail: -1.23456789e-300 has sixteen characters
  return made;
}

double PackedNumber::value() const {
  if (absent()) return stale();
  if ((codes_ & kLow) == kOther) return other_value();
  char text[kRoom];
  double value = 0;
  std::from_chars(text, unpack(text), value);
  return value;
}

double PackedNumber::other_value() const {
  const auto magnitude = static_cast<double>(codes_ >> 8);
  switch (static_cast<Other>(codes_ >> 4 & kLow)) {
    case kPlusInfinity:
      return std::numeric_limits<double>::infinity();
    case kMinusInfinity:
      return -std::numeric_limits<double>::infinity();
    case kWhole:
      return magnitude;
    case kMinusWhole:
      return -magnitude;
    case kNan:
      break;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

char* PackedNumber::unpack_other(char* to) const {
  return text::write_number(to, other_value());
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
