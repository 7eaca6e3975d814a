// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "common/text/decimal.hpp"
#include "common/text/exposition.hpp"
#include "common/text/number.hpp"
#include "common/text/utf8.hpp"
#include "tests/common/text_cases.hpp"
#include "tests/support/catch.hpp"

namespace optipod::text {
namespace {

std::string number(double value) {
  std::string out;
  append_number(out, value);
  return out;
}

std::string label(std::string_view value) {
  std::string out;
  append_label(out, "l", value);
  return out;
}

TEST_CASE("exposition: short decimals have the digits that any double's writer finds") {
  std::mt19937_64 random(3);
  std::size_t wrong = 0, short_ones = 0;
  for (int i = 0; i < 300'000; ++i) {
    const auto whole = static_cast<double>((random() >> random() % 64) % 1'000'000'000'000'000);
    const double decimal = whole / std::pow(10.0, static_cast<double>(random() % 23));
    const double value = i % 4 == 0   ? std::ldexp(whole, -static_cast<int>(random() % 80))
                         : i % 4 == 1 ? -decimal
                                      : decimal;
    char expected[40], written[40];
    const char* const end =
        std::to_chars(expected, expected + sizeof expected, value, std::chars_format::general).ptr;
    if (number(value) != std::string_view(expected, end)) ++wrong;
    if (write_decimal(written, value) != nullptr) ++short_ones;
  }
  CHECK(wrong == 0);
  CHECK(short_ones > 100'000);
}

TEST_CASE("OpenMetrics names families as it does") {
  std::string out;
  ExpositionWriter writer(out, Format::kOpenMetrics);
  writer.family("a_seconds_total", MetricType::kCounter, "Says \"a\\b\".\nAnd more.", "seconds");
  writer.sample("l=\"1\"", std::uint64_t{2});
  writer.family("a_info", MetricType::kGauge, "I.");
  writer.sample({}, std::uint64_t{1});
  writer.family("b_total", MetricType::kGauge, "");
  writer.family("c_bytes", MetricType::kHistogram, "H.", "bytes");
  writer.sample_suffixed("_bucket", "le=\"1.0\"", std::uint64_t{3});
  writer.family("d", MetricType::kUntyped, "U.");
  CHECK(out ==
        "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n"
        "# HELP a_seconds Says \\\"a\\\\b\\\".\\nAnd more.\na_seconds_total{l=\"1\"} 2\n"
        "# TYPE a info\n# HELP a I.\na_info 1\n# TYPE b_total gauge\n"
        "# TYPE c_bytes histogram\n# UNIT c_bytes bytes\n# HELP c_bytes H.\n"
        "c_bytes_bucket{le=\"1.0\"} 3\n# TYPE d unknown\n# HELP d U.\n");
}

TEST_CASE("numbers are spelled as Go spells them") {
  // strconv.FormatFloat(v, 'g', -1, 64)
  const std::pair<double, const char*> probes[] = {
      {0, "0"},
      {-0.0, "-0"},
      {1, "1"},
      {-1.5, "-1.5"},
      {100000, "100000"},
      {999999, "999999"},
      {1e6, "1e+06"},
      {1234567, "1.234567e+06"},
      {123456789, "1.23456789e+08"},
      {1e15, "1e+15"},
      {1e21, "1e+21"},
      {1e100, "1e+100"},
      {0.1, "0.1"},
      {0.1 + 0.2, "0.30000000000000004"},
      {0.0001, "0.0001"},
      {0.00001, "1e-05"},
      {0.000123, "0.000123"},
      {5e-324, "5e-324"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
      {1.0 / 3, "0.3333333333333333"},
      {1700000000.123, "1.700000000123e+09"},
      {std::numeric_limits<double>::quiet_NaN(), "NaN"},
      {std::numeric_limits<double>::infinity(), "+Inf"},
      {-std::numeric_limits<double>::infinity(), "-Inf"},
  };
  for (const auto& [value, text] : probes) CHECK(number(value) == text);
}

TEST_CASE("every number survives the round trip") {
  std::mt19937_64 random(42);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t bits = random();
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    const auto back = parse_number(number(value));
    REQUIRE(back.has_value());
    REQUIRE(*back == value);
  }
}

TEST_CASE("integers keep all their digits") {
  std::string out;
  append_number(out, std::numeric_limits<std::uint64_t>::max());
  CHECK(out == "18446744073709551615");
}

TEST_CASE("label values are escaped, and joined with commas") {
  std::string labels;
  append_label(labels, "a", "plain");
  append_label(labels, "b", "quote\" back\\ new\nline");
  CHECK(labels == R"(a="plain",b="quote\" back\\ new\nline")");
  CHECK(label("") == R"(l="")");
  CHECK(label("tab\tstays") == "l=\"tab\tstays\"");
}

TEST_CASE("what is not UTF-8 is replaced, so that one bad byte does not cost the page") {
  const std::string r(kReplacement);
  CHECK(label("gr\xC3\xBC\xC3\x9F") == "l=\"gr\xC3\xBC\xC3\x9F\"");
  CHECK(label("\xFF") == "l=\"" + r + "\"");
  CHECK(label("a\xC3") == "l=\"a" + r + "\"");
  CHECK(label("\xE2\x82x\n\xFFy") == "l=\"" + r + r + "x\\n" + r + "y\"");
  CHECK(label(std::string_view("a\0b", 3)) == "l=\"a" + r + "b\"");
}

TEST_CASE("UTF-8 is judged as RFC 3629 says") {
  for (const char* good :
       {"", "ascii only and longer than eight", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80",
        "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    CHECK(utf8_valid(good));
  }
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF",
                          "\xED\xA0\x80", "\xE1\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\xFE", "12345678\xFF"}) {
    CHECK_FALSE(utf8_valid(bad));
  }
  CHECK(utf8_valid_prefix("12345678abc\xFFz") == 11);
}

TEST_CASE("a family is HELP, TYPE, samples, and nothing else") {
  std::string out;
  ExpositionWriter writer(out);
  writer.family("optipod_x_seconds", MetricType::kHistogram, "Help with \\ and\nnewline \"q\".");
  writer.sample_suffixed("_bucket", R"(le="0.1")", std::uint64_t{3});
  writer.sample_suffixed("_bucket", R"(le="+Inf")", std::uint64_t{4});
  writer.sample_suffixed("_sum", "", 0.25);
  writer.sample_suffixed("_count", "", std::uint64_t{4});
  writer.family("optipod:y", MetricType::kUntyped);
  writer.sample(R"(node="a")", 1.5, 1700000000123);
  writer.family("optipod_z_info", MetricType::kGauge, "");
  writer.sample("", 1.0);
  CHECK(out ==
        "# HELP optipod_x_seconds Help with \\\\ and\\nnewline \"q\".\n"
        "# TYPE optipod_x_seconds histogram\n"
        "optipod_x_seconds_bucket{le=\"0.1\"} 3\n"
        "optipod_x_seconds_bucket{le=\"+Inf\"} 4\n"
        "optipod_x_seconds_sum 0.25\n"
        "optipod_x_seconds_count 4\n"
        "# TYPE optipod:y untyped\n"
        "optipod:y{node=\"a\"} 1.5 1700000000123\n"
        "# HELP optipod_z_info\n"
        "# TYPE optipod_z_info gauge\n"
        "optipod_z_info 1\n");
}

TEST_CASE("what is written is read back as it was, whatever bytes are in it") {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string value;
    for (auto n = random() % 40; n > 0; --n) value.push_back(static_cast<char>(random() % 256));
    std::string out;
    std::string labels;
    append_label(labels, "raw", value);
    ExpositionWriter writer(out);
    writer.family("m", MetricType::kGauge, value);
    writer.sample(labels, 2.5);
    test::Keep keep;
    const auto parsed = parse(out, keep);
    REQUIRE(parsed.has_value());
    REQUIRE(keep.samples.size() == 1);
    const std::string& back = keep.samples[0].labels.at(0).second;
    REQUIRE(utf8_valid(back));
    if (utf8_valid(value) && value.find('\0') == std::string::npos) REQUIRE(back == value);
  }
}

TEST_CASE("promtool reads all of it in silence") {
  std::string out;
  ExpositionWriter writer(out);
  std::string labels;
  append_label(labels, "pod", "odd \" \\ \n \xFF name");
  writer.family("optipod_test_bytes_total", MetricType::kCounter, "Bytes; a \\ and a\nnewline.");
  writer.sample(labels, 1e300);
  writer.family("optipod_test_seconds", MetricType::kHistogram, "Waits.");
  writer.sample_suffixed("_bucket", R"(le="1.024e-06")", std::uint64_t{1});
  writer.sample_suffixed("_bucket", R"(le="+Inf")", std::uint64_t{2});
  writer.sample_suffixed("_sum", "", 5e-324);
  writer.sample_suffixed("_count", "", std::uint64_t{2});
  const auto verdict = test::promtool(out);
  INFO(verdict.output);
  CHECK(verdict.status == 0);
  CHECK(verdict.output.empty());
}

}  // namespace
}  // namespace optipod::text
