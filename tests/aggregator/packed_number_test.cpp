// SPDX-License-Identifier: Apache-2.0
// Packed numbers are what they were made of, in nine digits, as number and as text.
#include "aggregator/packed_number.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "aggregator/series.hpp"
#include "common/text/exposition.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::aggregator;

namespace {

std::string unpacked(const PackedNumber& number) {
  char text[PackedNumber::kRoom];
  return {text, number.unpack(text)};
}

std::string written(double value) {
  std::string text;
  text::append_number(text, value);
  return text;
}

}  // namespace

TEST_CASE("packed numbers: short and whole ones are as they are") {
  using limits = std::numeric_limits<double>;
  for (const double value :
       {0.0, -0.0, 1.0, -1.5, 123456.0, 1e6, 8589934592.0, 1e-4, 1e-5, -1.23456789e-300,
        limits::denorm_min(), limits::infinity(), -limits::infinity(), 1099511627776.0,
        -1099511627776.0, 9007199254740991.0, 1e300, 16.0, 67430309888.0}) {
    const PackedNumber packed(value);
    CHECK(unpacked(packed) == written(value));
    CHECK(std::bit_cast<std::uint64_t>(packed.value()) == std::bit_cast<std::uint64_t>(value));
    CHECK_FALSE(packed.absent());
  }
  CHECK(unpacked(PackedNumber(limits::quiet_NaN())) == "NaN");
  CHECK(std::isnan(PackedNumber(limits::quiet_NaN()).value()));
  CHECK_FALSE(is_stale(PackedNumber(limits::quiet_NaN()).value()));
  for (const PackedNumber& packed : {PackedNumber(stale()), PackedNumber()}) {
    CHECK(packed.absent());
    CHECK(is_stale(packed.value()));
  }
}

TEST_CASE("packed numbers: any double in nine digits, which is what the text says") {
  std::mt19937_64 random(11);
  std::size_t wrong = 0, far = 0, longest = 0;
  for (int i = 0; i < 300'000; ++i) {
    const std::uint64_t bits = random();
    const double value = i % 3 == 0   ? std::bit_cast<double>(bits)
                         : i % 3 == 1 ? static_cast<double>(bits >> (bits % 64))
                                      : std::ldexp(static_cast<double>(bits >> 11),
                                                   -static_cast<int>(random() % 110));
    if (!std::isfinite(value)) continue;
    const PackedNumber packed(value);
    const std::string text = unpacked(packed);
    longest = std::max(longest, text.size());
    if (text != written(packed.value())) ++wrong;
    const double least = std::max(std::abs(value), std::numeric_limits<double>::min());
    if (!(std::abs(packed.value() - value) <= 5.001e-9 * least)) ++far;
    if (std::abs(value) < 9007199254740992 && value == std::trunc(value) &&
        packed.value() != value && std::abs(value) > 1e9) {
      ++wrong;
    }
  }
  CHECK(wrong == 0);
  CHECK(far == 0);
  CHECK(longest > 16);  // whole ones
}

TEST_CASE("packed numbers: one a value, few or many") {
  for (const std::size_t size : {std::size_t{1}, kPackedBlock, kPackedBlock + 1}) {
    std::vector<double> values(size, 0.5);
    values.back() = -3;
    const auto packed = pack(values);
    const auto more = pack(std::vector<double>(size, 9));  // in a place of its own
    CHECK(unpacked(packed.get()[size - 1]) == "-3");
    CHECK(unpacked(packed.get()[0]) == (size == 1 ? "-3" : "0.5"));
    CHECK(unpacked(more.get()[0]) == "9");
  }
}

TEST_CASE("packed numbers: rounded by hand") {
  for (const auto& [exact, text] :
       std::initializer_list<std::pair<double, std::string>>{{1.0 / 3, "0.333333333"},
                                                             {0.99999999999, "1"},
                                                             {999999.9999999, "1e+06"},
                                                             {9.9999999999e-5, "0.0001"},
                                                             {1e-5 / 3, "3.33333333e-06"},
                                                             {123456.7890123, "123456.789"},
                                                             {-1.0 / 3, "-0.333333333"},
                                                             {1e300 / 3, "3.33333333e+299"},
                                                             {-1e-300 / 3, "-3.33333333e-301"},
                                                             {1234567890.125, "1.23456789e+09"},
                                                             {67430309888, "6.7430309888e+10"}}) {
    CHECK(unpacked(PackedNumber(exact)) == text);
    CHECK(written(PackedNumber(exact).value()) == text);
  }
}
