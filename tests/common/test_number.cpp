// SPDX-License-Identifier: Apache-2.0
//
// Numbers are the doubles that strtod() makes of them, which rounds right: digit by digit, and in
// blocks, where there is room for them.
#include "common/text/block_number.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/support/catch.hpp"

namespace optipod::text {
namespace {

/// What a page has before and behind a number.
const std::string kBefore = "metric_name_seconds ",
                  kBehind = "\nmetric_name_seconds_total 12345678901\n";

bool same_double(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

/// Where take_number() stops, and whether its value is strtod()'s to the bit; the same in a page.
void check_number(const std::string& text, const std::string& behind) {
  const std::string line = text + behind;
  double value = 0;
  const char* after = take_number(line.data(), line.data() + line.size(), value);
  INFO(line);
  REQUIRE(after == line.data() + text.size());
  const double wanted = std::strtod(text.c_str(), nullptr);
  if (!same_double(value, wanted)) CHECK(value == wanted);
  if (!same_double(value, wanted)) CHECK(std::signbit(value) == std::signbit(wanted));

  const std::string page = kBefore + text + behind + kBehind;
  const NumberReader numbers(page.data(), page.data() + page.size());
  after = numbers.value(page.data() + kBefore.size(), value);
  REQUIRE(after == page.data() + kBefore.size() + text.size());
  if (!same_double(value, wanted)) CHECK(value == wanted);
  if (!same_double(value, wanted)) CHECK(std::signbit(value) == std::signbit(wanted));
}

#if OPTIPOD_SCAN
/// Whether a number is read in blocks at all, and then right.
bool read_in_blocks(const std::string& text) {
  const std::string page = kBefore + text + kBehind;
  double value = 0;
  const char* after = take_block_number(page.data() + kBefore.size(), value);
  if (after == nullptr) return false;
  INFO(text);
  CHECK(after == page.data() + kBefore.size() + text.size());
  CHECK(same_double(value, std::strtod(text.c_str(), nullptr)));
  return true;
}

TEST_CASE("the numbers of pages are read in blocks") {
  for (const std::string text : {"0",
                                 "7",
                                 "-7",
                                 "123456789012345",
                                 "1234567890123456",
                                 "1234567890123456789",
                                 "0.5",
                                 "-0",
                                 "12345678.25",
                                 "2.301061604e+07",
                                 "5e+09",
                                 "1e-05",
                                 "-1.5e+22",
                                 "0.000123456",
                                 "0.30000000000000004",
                                 "336.72645262566664",
                                 "0.00012345678901234567",
                                 "9007199254740993",
                                 "900719925474099.35",
                                 "18430000000000000000"}) {
    INFO(text);
    CHECK(read_in_blocks(text));
  }
  for (const std::string text : {"",
                                 "-",
                                 ".",
                                 ".5",
                                 "-.5",
                                 "--5",
                                 "+5",
                                 "1.2.3",
                                 "1e5",
                                 "1e+5",
                                 "1e+005",
                                 "1e+1x",
                                 "1e*07",
                                 "1ee+07",
                                 "1.5e+.1",
                                 "e+07",
                                 "NaN",
                                 "+Inf",
                                 "0x12",
                                 "1_0",
                                 "5:",
                                 "5/",
                                 "12345678901234x6",
                                 "1234567890123x5678",
                                 "x23456789012345678",
                                 "184467440737095516160",
                                 "1e+23",
                                 "99999999999999999999.5",
                                 "1:23456789012345678901"}) {
    INFO(text);
    CHECK_FALSE(read_in_blocks(text));
  }
}

TEST_CASE("halfway between two doubles, and next to it") {
  std::mt19937_64 random(11);
  std::size_t read = 0;
  for (int i = 0; i < 20'000; ++i) {
    // Of 54 significant bits, the last set: exactly halfway. All its decimals, then fewer.
    const std::uint64_t bits = (random() >> 10) | 1 | std::uint64_t{1} << 53;
    const double factor = std::ldexp(1.0, -static_cast<int>(random() % 12));
    const auto half = static_cast<long double>(bits) * factor;  // 64 bits: exact
    std::string text = fmt::format("{:.12f}", half);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    for (const std::string& near : {text, text.substr(0, text.size() - 1) + "1"}) {
      read += read_in_blocks(near) ? 1 : 0;
    }
  }
  CHECK(read > 10'000);
}
#endif

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
        const std::string page = kBefore + text + kBehind;
        const NumberReader numbers(page.data(), page.data() + page.size());
        CHECK(numbers.value(page.data() + kBefore.size(), value) == nullptr);
      }
    }
  }
}

TEST_CASE("no byte that is not of the page is read") {
  // A copy of exactly that size: AddressSanitizer sees what is read outside.
  for (const std::string text : {"5", "1.5", "2.301061604e+07", "1234567890123456789", "NaN"}) {
    for (std::size_t before = 0; before <= 40; ++before) {
      for (std::size_t behind = 0; behind <= 40; ++behind) {
        const std::string page = std::string(before, ' ') + text + std::string(behind, '\n');
        const std::vector<char> copy(page.begin(), page.end());
        const NumberReader numbers(copy.data(), copy.data() + copy.size());
        const char* const at = copy.data() + before;
        double value = 0;
        std::int64_t ms = 0, wanted_ms = 0;
        CHECK(numbers.value(at, value) == at + text.size());
        CHECK(numbers.timestamp(at, ms) ==
              take_timestamp(at, copy.data() + copy.size(), wanted_ms));
        CHECK(ms == wanted_ms);
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
