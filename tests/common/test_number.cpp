// SPDX-License-Identifier: Apache-2.0
//
// Numbers are the doubles that strtod() makes of them, which rounds right.
#include "common/text/short_number.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include <fmt/format.h>

#include "tests/support/catch.hpp"

namespace optipod::text {
namespace {

/// Where take_number() stops, and whether its value is strtod()'s to the bit.
void check_number(const std::string& text, const std::string& behind) {
  const std::string line = text + behind;
  double value = 0;
  const char* after = take_number(line.data(), line.data() + line.size(), value);
  INFO(line);
  REQUIRE(after == line.data() + text.size());
  const double wanted = std::strtod(text.c_str(), nullptr);
  if (std::bit_cast<std::uint64_t>(value) == std::bit_cast<std::uint64_t>(wanted)) return;
  CHECK(value == wanted);
  CHECK(std::signbit(value) == std::signbit(wanted));
}

TEST_CASE("any double, written with any number of digits") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 30'000; ++i) {
    const std::uint64_t bits = random();
    double any = 0;
    std::memcpy(&any, &bits, sizeof any);
    if (!std::isfinite(any)) continue;
    const int digits = static_cast<int>(random() % 20);
    check_number(fmt::format("{:.{}e}", any, digits), "\n");
    check_number(fmt::format("{}", any), i % 2 == 0 ? " 1" : "");
    const double usual = std::ldexp(static_cast<double>(bits >> 11), -static_cast<int>(bits % 64));
    check_number(fmt::format("{:.{}f}", usual, digits), "\t");
    check_number(fmt::format("{}", usual), "{");
    check_number(std::to_string(bits >> (bits % 64)), "\n");
  }
}

TEST_CASE("digits in all lengths around the point") {
  for (std::size_t before = 0; before <= 25; ++before) {
    for (std::size_t after = 0; after <= 25; ++after) {
      if (before + after == 0) continue;
      for (const char* digits : {"9999999999999999999999999", "1234567890123456789012345",
                                 "0000000000000000000000001", "9007199254740993000000000"}) {
        const std::string text = std::string(digits, before) + "." + std::string(digits, after);
        for (const char* exponent : {"", "e0", "e-7", "E+22", "e23", "e-30", "e007"}) {
          for (const char* sign : {"", "-", "+"}) check_number(sign + text + exponent, "\n");
        }
      }
    }
  }
}

TEST_CASE("what is no number, in all lengths") {
  for (const std::string wrong :
       {"x", ",", "/", ":", "_", "e", "e+", ".1", "\x7F", "\xB0", "\xFF"}) {
    for (std::size_t digits = 0; digits <= 20; ++digits) {
      for (std::size_t more = 0; more <= 9; ++more) {
        const std::string text = "1." + std::string(digits, '7') + wrong + std::string(more, '8');
        if (wrong.starts_with("e") && more > 0) continue;
        double value = 0;
        INFO(text);
        CHECK(take_number(text.data(), text.data() + text.size(), value) == nullptr);
      }
    }
  }
}

TEST_CASE("timestamps are read to their end") {
  std::int64_t ms = 0;
  const std::string text = "1700000000123 ";
  CHECK(take_timestamp(text.data(), text.data() + text.size(), ms) == text.data() + 13);
  CHECK(ms == 1700000000123);
  for (const std::string wrong : {"", "-1", "+1", "x", " 1", "9223372036854775808"}) {
    CHECK(take_timestamp(wrong.data(), wrong.data() + wrong.size(), ms) == nullptr);
  }
  const std::string most = "9223372036854775807";
  CHECK(take_timestamp(most.data(), most.data() + most.size(), ms) != nullptr);
  CHECK(ms == std::numeric_limits<std::int64_t>::max());
}

}  // namespace
}  // namespace optipod::text
