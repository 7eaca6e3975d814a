// SPDX-License-Identifier: Apache-2.0
//
// The truth table of the text format: what the Prometheus server takes and refuses, minus its two
// lexer bugs (see common/text/parse.hpp).
#include <chrono>
#include <cmath>
#include <limits>
#include <string>

#include "common/text/parse.hpp"
#include "tests/common/text_cases.hpp"
#include "tests/support/catch.hpp"

namespace optipod::text {
namespace {

using namespace std::string_literals;
using test::Keep;

/// One sample's value of a body that must be good.
double value_of(const std::string& body) {
  Keep keep;
  const auto result = parse(body, keep);
  INFO(body);
  REQUIRE(result.has_value());
  REQUIRE(keep.samples.size() == 1);
  return keep.samples[0].value;
}

bool good(const std::string& body) {
  Keep keep;
  return parse(body, keep).has_value();
}

ParseError error_of(const std::string& body) {
  Keep keep;
  const auto result = parse(body, keep);
  INFO(body);
  REQUIRE_FALSE(result.has_value());
  CHECK_FALSE(result.error().what.empty());
  return result.error();
}

TEST_CASE("a whole body arrives in order") {
  Keep keep;
  const auto result = parse(
      "# HELP req_total Requests \\\\ with\\nnewline.\n"
      "# TYPE req_total counter\n"
      "req_total{code=\"200\",path=\"/a\\\"b\\\\c\\nd\"} 12 1700000000123\n"
      "\n"
      "req_total{code=\"500\"} 3\n"
      "# a comment\n"
      "up 1",
      keep);
  REQUIRE(result.has_value());
  CHECK(*result == 3);
  CHECK(keep.types.at("req_total") == MetricType::kCounter);
  CHECK(keep.helps.at("req_total") == "Requests \\ with\nnewline.");
  REQUIRE(keep.samples.size() == 3);
  CHECK(keep.samples[0].name == "req_total");
  REQUIRE(keep.samples[0].labels.size() == 2);
  CHECK(keep.samples[0].labels[1] == std::pair<std::string, std::string>("path", "/a\"b\\c\nd"));
  CHECK(keep.samples[0].timestamp_ms.value_or(0) == 1700000000123);
  CHECK_FALSE(keep.samples[1].timestamp_ms.has_value());
  CHECK(keep.samples[2].value == 1);
}

TEST_CASE("labels are found by name") {
  struct Look final : ParseSink {
    std::string b, none;
    void sample(const Sample& s) override {
      b = s.label("b");
      none = s.label("nope");
    }
  } look;
  REQUIRE(parse("m{a=\"1\",b=\"2\"} 3\n", look).has_value());
  CHECK(look.b == "2");
  CHECK(look.none.empty());
  CHECK(Sample{}.label("x").empty());
}

TEST_CASE("white space, line ends and empty bodies") {
  for (const auto& body : {""s,
                           "\n"s,
                           "\n\n\n"s,
                           "  \t \n"s,
                           "a 1"s,
                           "a 1\n"s,
                           "a 1 \n"s,
                           "a 1\t\n"s,
                           "a 1 5 \n"s,
                           "a 1 5"s,
                           "  a 1\n"s,
                           "\ta\t1\t5\t\n"s,
                           "a   1   5\n"s,
                           "a {b=\"c\"} 1\n"s,
                           "a{b=\"c\"}1\n"s,
                           "a{ b = \"c\" , d\t=\t\"e\" } 1\n"s,
                           "a{b=\"c\",} 1\n"s,
                           "a{b=\"c\", } 1\n"s,
                           "a{} 1\n"s,
                           "a{ } 1\n"s,
                           "a{}1\n"s}) {
    INFO(body);
    CHECK(good(body));
  }
  for (const auto& body : {"a 1\r\n"s,
                           "a\n"s,
                           "a"s,
                           "a{b=\"c\"}\n"s,
                           "a{b=\"c\"}"s,
                           "a{,} 1\n"s,
                           "a{b=\"c\",,} 1\n"s,
                           "a{b=\"c\"\n} 1\n"s,
                           "a{\n} 1\n"s,
                           "a{b=\"c\"} 1 {\n"s,
                           "a 1{\n"s,
                           "a 1 2 3\n"s,
                           "a 1 b 1\n"s,
                           "\xEF\xBB\xBF"
                           "a 1\n"s,
                           "1a 1\n"s,
                           "a{b=\"c\"}{d=\"e\"} 1\n"s,
                           "=\n"s,
                           "{} 1\n"s,
                           "{a=\"b\"} 1\n"s,
                           "a{b} 1\n"s,
                           "a{b=} 1\n"s,
                           "a{b=c} 1\n"s,
                           "a{b=\"c} 1\n"s,
                           "a{b='c'} 1\n"s,
                           "a{\"b\" 1\n"s,
                           "a{b:c=\"d\"} 1\n"s,
                           "a{1b=\"c\"} 1\n"s,
                           "a{=\"c\"} 1\n"s,
                           "a{b=\"c\" 1\n"s,
                           "a{b=\"c\"\\} 1\n"s}) {
    INFO(body);
    CHECK_FALSE(good(body));
  }
}

TEST_CASE("the server's two lexer bugs are not copied") {
  CHECK_FALSE(good("a{b=\"c\"d=\"e\"} 1\n"));
  CHECK_FALSE(good("a{b=\"c\" d=\"e\"} 1\n"));
  const auto error = error_of("a 1\n\0b 2\n"s);
  CHECK(error.line == 2);
  CHECK_FALSE(good("\0"s));
}

TEST_CASE("duplicate and reserved labels fail the body") {
  CHECK_FALSE(good("a{b=\"1\",b=\"2\"} 1\n"));
  CHECK_FALSE(good("a{__name__=\"x\"} 1\n"));
  std::string many = "a{";
  for (int i = 0; i < 50; ++i) many += "l" + std::to_string(i) + "=\"v\",";
  CHECK(good(many + "} 1\n"));
  CHECK_FALSE(good(many + "l7=\"again\"} 1\n"));
}

TEST_CASE("strings: escapes, newlines, NUL, UTF-8") {
  Keep keep;
  REQUIRE(parse("a{b=\"x\\ty\\q\",c=\"raw\nline\",d=\"n\0l\"} 1\n"s, keep).has_value());
  CHECK(keep.samples[0].labels[0].second == "x\\ty\\q");
  CHECK(keep.samples[0].labels[1].second == "raw\nline");
  CHECK(keep.samples[0].labels[2].second == "n\0l"s);
  CHECK(good("# HELP a n\0l\na 1\n"s));
  CHECK(good("a{b=\"\xC3\xA4\"} 1\n"));
  CHECK_FALSE(good("a{b=\"\xFF\"} 1\n"));
  CHECK_FALSE(good("a{b=\"\xED\xA0\x80\"} 1\n"));
  CHECK_FALSE(good("# HELP a \xFF\na 1\n"));
  CHECK(good("# other \xFF\na 1\n"));
  CHECK_FALSE(good("a{b=\"c\\\n\"} 1\n"));
  CHECK_FALSE(good("a{b=\"c\\\"} 1\n"));
  CHECK_FALSE(good("a{b=\"c\\"));
}

TEST_CASE("numbers the server takes") {
  const double inf = std::numeric_limits<double>::infinity();
  const std::pair<const char*, double> numbers[] = {
      {"0", 0},
      {"1", 1},
      {"-1", -1},
      {"+1", 1},
      {".5", 0.5},
      {"1.", 1},
      {"-.5", -0.5},
      {"1E+05", 1e5},
      {"1e5", 1e5},
      {"1e-5", 1e-5},
      {"+Inf", inf},
      {"-Inf", -inf},
      {"inf", inf},
      {"INF", inf},
      {"Infinity", inf},
      {"-infinity", -inf},
      {"1e-400", 0},
      {"0e999", 0},
      {"007", 7},
      {"5e-324", 5e-324},
      {"0.0000001e7", 1},
      {"1e308", 1e308},
      {"0.30000000000000004", 0.1 + 0.2},
  };
  for (const auto& [text, value] : numbers) {
    INFO(text);
    CHECK(value_of("a "s + text + "\n") == value);
  }
  CHECK(std::signbit(value_of("a -0\n")));
  CHECK(value_of("a 1" + std::string(300, '0') + "\n") == 1e300);
  CHECK(value_of("a 0." + std::string(400, '0') + "1\n") == 0);
  for (const char* text : {"NaN", "nan", "Nan", "NAN"}) CHECK(std::isnan(value_of("a "s + text)));
}

TEST_CASE("numbers the server refuses") {
  for (const char* text :
       {"-nan",   "+NaN",  "0x10", "0x1p-3", "1_000", "1e",     "1e400",
        "-1e400", "1e+",   "e5",   ".",      "-",     "+",      "--1",
        "+-1",    "1.2.3", "1,5",  "1f",     "infin", "nan(1)", "1e99999999999999999999",
        "\"1\"",  "1e5.5", "a"}) {
    INFO(text);
    CHECK_FALSE(good("m "s + text + "\n"));
  }
  CHECK_FALSE(good("m 1" + std::string(400, '0') + "\n"));
}

TEST_CASE("timestamps are digits") {
  Keep keep;
  REQUIRE(parse("a 1 0\na 1 9223372036854775807\n", keep).has_value());
  CHECK(keep.samples[1].timestamp_ms.value_or(0) == std::numeric_limits<std::int64_t>::max());
  for (const char* text : {"-123", "+123", "123.5", "9223372036854775808", "1e3", "123abc"}) {
    INFO(text);
    CHECK_FALSE(good("a 1 "s + text + "\n"));
  }
}

TEST_CASE("metadata: last wins, unknown types fail, comments do not") {
  Keep keep;
  REQUIRE(parse("# TYPE a gauge\na 1\n# TYPE a counter\n# HELP a one\n# HELP a two\n"
                "# HELP b\n#TYPE c nonsense\n# TYPEX d nonsense\n# HELP\n# EOF\n#\n# \"quotes\n"
                "#\tTYPE\te\tgauge\n",
                keep)
              .has_value());
  CHECK(keep.types.at("a") == MetricType::kCounter);
  CHECK(keep.helps.at("a") == "two");
  CHECK(keep.helps.at("b").empty());
  CHECK(keep.types.at("e") == MetricType::kGauge);
  CHECK(keep.types.count("c") == 0);
  for (const char* body : {"# TYPE a COUNTER\n", "# TYPE a gaugehistogram\n", "# TYPE a info\n",
                           "# TYPE a stateset\n", "# TYPE a\n", "# TYPE a gauge \n",
                           "# TYPE 1a gauge\n", "# TYPE \n", "# HELP \n", "# TYPE a gauge\r\n"}) {
    INFO(body);
    CHECK_FALSE(good(body));
  }
  for (const char* type : {"counter", "gauge", "histogram", "summary", "untyped"}) {
    CHECK(good("# TYPE a "s + type));
  }
}

TEST_CASE("semantic nonsense that the lexer lets pass") {
  CHECK(good("# TYPE h histogram\nh_bucket{le=\"1\"} -5\nh_sum 1\nh_count 2\n"));
  CHECK(good("a 1\na 1\na 2\n"));
}

TEST_CASE("exemplars are not of this format") {
  CHECK_FALSE(good("a_bucket{le=\"1\"} 1 # {trace=\"x\"} 0.5\n"));
}

TEST_CASE("UTF-8 names in quotes") {
  Keep keep;
  REQUIRE(parse("# TYPE \"my.metric\" gauge\n# HELP \"my.metric\" some help\\n.\n"
                "{\"my.metric\",\"l.x\"=\"v\",y=\"w\"} 1\n{y=\"w\",\"my.\\\"two\"} 2 5\n",
                keep)
              .has_value());
  CHECK(keep.types.at("my.metric") == MetricType::kGauge);
  CHECK(keep.helps.at("my.metric") == "some help\n.");
  CHECK(keep.samples.at(0).name == "my.metric");
  CHECK(keep.samples[0].labels.at(0) == std::pair<std::string, std::string>("l.x", "v"));
  CHECK(keep.samples.at(1).name == "my.\"two");
  CHECK_FALSE(good("{\"a\",\"b\"} 1\n"));
  CHECK_FALSE(good("a{\"b\"} 1\n"));
  CHECK_FALSE(good("{\"\"} 1\n"));
  CHECK_FALSE(good("{\"a\xFF\"} 1\n"));
}

TEST_CASE("errors name the line") {
  CHECK(error_of("bad").line == 1);
  CHECK(error_of("a 1\nb 2\nc x\n").line == 3);
  CHECK(error_of("a{l=\"one\ntwo\"} 1\nb\n").line == 3);
  CHECK(error_of("a 1\n# TYPE a what\n").line == 2);
  CHECK(error_of("a 1\na{b=\"").line == 2);
}

TEST_CASE("hostile bodies cost linear time") {
  // Each of these is quadratic in a careless parser; a million characters would then take minutes.
  constexpr std::size_t kMany = 1'000'000;
  std::string labels = "a{";
  for (std::size_t i = 0; i < kMany / 8; ++i) labels += "l" + std::to_string(i) + "=\"\",";
  CHECK(good(labels + "} 1\n"));
  CHECK(good("a{b=\"" + std::string(kMany, '\\') + "\"} 1\n"));
  CHECK(good(std::string(kMany, '\n')));
  CHECK(good(std::string(kMany, ' ')));
  CHECK(good(std::string(kMany, '#')));
  CHECK_FALSE(good("a " + std::string(kMany, '9') + "\n"));
  CHECK_FALSE(good(std::string(kMany, '{')));
  CHECK_FALSE(good("a{b=\"" + std::string(kMany, 'x')));
  CHECK_FALSE(good(std::string(kMany, 'a')));
}

}  // namespace
}  // namespace optipod::text
