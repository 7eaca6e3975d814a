// SPDX-License-Identifier: Apache-2.0
// Packed numbers give back the text that they were made of.
#include "aggregator/packed_number.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <string>
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

TEST_CASE("packed numbers: what is special") {
  using limits = std::numeric_limits<double>;
  for (const double value :
       {0.0, -0.0, 1.0, -1.5, 123456.0, 1e6, 8589934592.0, 1e-4, 1e-5, -2.2250738585072014e-308,
        limits::denorm_min(), limits::max(), limits::lowest(), limits::infinity(),
        -limits::infinity(), limits::quiet_NaN(), 0.30000000000000004}) {
    CHECK(unpacked(PackedNumber(value)) == written(value));
    CHECK_FALSE(PackedNumber(value).absent());
  }
  CHECK(PackedNumber(stale()).absent());
  CHECK(PackedNumber().absent());
}

TEST_CASE("packed numbers: any double") {
  std::mt19937_64 random(11);
  std::size_t longest = 0, wrong = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t bits = random();
    const double whole = static_cast<double>(bits >> (bits % 64));
    const double value = i % 3 == 0   ? std::bit_cast<double>(bits)
                         : i % 3 == 1 ? whole
                                      : std::ldexp(static_cast<double>(bits >> 11), -60);
    if (is_stale(value)) continue;
    const std::string text = unpacked(PackedNumber(value));
    longest = std::max(longest, text.size());
    if (text != written(value)) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(longest == PackedNumber::kMost);
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

TEST_CASE("packed numbers: rounded to nine digits") {
  std::mt19937_64 random(12);
  std::size_t wrong = 0, far = 0, rounded = 0;
  for (int i = 0; i < 200'000; ++i) {
    const double exact =
        std::ldexp(static_cast<double>(random() >> 11), -static_cast<int>(random() % 110));
    double value = exact;
    const PackedNumber packed = PackedNumber::rounded(value);
    if (unpacked(packed) != written(value)) ++wrong;
    if (!(std::abs(value - exact) <= 5.001e-9 * exact)) ++far;
    if (value != exact) ++rounded;
  }
  CHECK(wrong == 0);
  CHECK(far == 0);
  CHECK(rounded > 100'000);
  for (const auto& [exact, text] :
       std::initializer_list<std::pair<double, std::string>>{{1.0 / 3, "0.333333333"},
                                                             {0.99999999999, "1"},
                                                             {999999.9999999, "1e+06"},
                                                             {9.9999999999e-5, "0.0001"},
                                                             {1e-5 / 3, "3.33333333e-06"},
                                                             {123456.7890123, "123456.789"},
                                                             {67430309888, "6.7430309888e+10"},
                                                             {0, "0"},
                                                             {-1.25, "-1.25"},
                                                             {16, "16"}}) {
    double value = exact;
    CHECK(unpacked(PackedNumber::rounded(value)) == text);
    CHECK(written(value) == text);
  }
  double absent = stale();
  CHECK(PackedNumber::rounded(absent).absent());
  CHECK(is_stale(absent));
}
