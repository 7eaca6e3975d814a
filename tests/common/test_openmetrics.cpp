// SPDX-License-Identifier: Apache-2.0
//
// OpenMetrics, strictly: the cases of cases/openmetrics.txt, the end of the page, and what is told.
#include "common/text/openmetrics.hpp"

#include <fstream>
#include <string>

#include "tests/common/text_cases.hpp"
#include "tests/support/catch.hpp"

namespace optipod::text {
namespace {

using namespace std::string_literals;
using test::Keep;

ParseError error_of(const std::string& page) {
  Keep keep;
  const auto parsed = parse_openmetrics(page, keep);
  INFO(page);
  REQUIRE_FALSE(parsed.has_value());
  CHECK_FALSE(parsed.error().what.empty());
  return parsed.error();
}

bool good(const std::string& page) {
  Keep keep;
  return parse_openmetrics(page, keep).has_value();
}

void check_case(const std::string& title, const std::string& page) {
  INFO(title << "\n" << page);
  Keep keep;
  const auto parsed = parse_openmetrics(page + "# EOF\n", keep);
  if (title.starts_with("== good")) {
    CHECK(parsed.has_value());
    if (!parsed) FAIL_CHECK(parsed.error().line << ": " << parsed.error().what);
  } else {
    REQUIRE(title.starts_with("== bad"));
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error().line >= 1);
    CHECK(parsed.error().column >= 1);
    CHECK_FALSE(parsed.error().what.empty());
  }
}

TEST_CASE("OpenMetrics pages, good and bad") {
  std::ifstream file(OPTIPOD_CASES "/openmetrics.txt");
  REQUIRE(file);
  std::string title;
  std::string page;
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("== ")) {
      page += line + "\n";
      continue;
    }
    if (!title.empty()) check_case(title, page);
    cases += title.empty() ? 0 : 1;
    title = line;
    page.clear();
  }
  check_case(title, page);
  CHECK(cases > 100);
}

TEST_CASE("an OpenMetrics page ends in # EOF") {
  CHECK(good("# EOF"));
  CHECK(good("# EOF\n"));
  CHECK(good("a 1\n# EOF"));
  for (const auto& page : {""s, "a 1\n"s, "a 1"s, "# EOF\n\n"s, "# EOF\na 1\n"s, "# EOF \n"s,
                           "# eof\n"s, "#EOF\n"s, "a 1\n# EO"s, "# EOF\n# EOF\n"s, "a 1# EOF"s}) {
    INFO(page);
    CHECK_FALSE(good(page));
  }
}

TEST_CASE("bytes that are not text, and text with strange ones") {
  CHECK_FALSE(good("a{b=\"\xFF\"} 1\n# EOF\n"));
  CHECK_FALSE(good("# HELP a \xED\xA0\x80\n# EOF\n"));
  CHECK_FALSE(good("\xEF\xBB\xBF# EOF\n"));
  CHECK_FALSE(good("a 1\r\n# EOF\n"));
  CHECK_FALSE(good("a 1\n# EOF\r\n"));
  CHECK(good("# HELP a n\0l\n# EOF\n"s));
  CHECK(good("a{b=\"n\0l\"} 1\n# EOF\n"s));
}

TEST_CASE("errors name the line and the column") {
  const auto at = [](const std::string& page) {
    const ParseError error = error_of(page + "# EOF\n");
    return std::pair(error.line, error.column);
  };
  CHECK(at("a 1\nb x\n") == std::pair<std::size_t, std::size_t>(2, 3));
  CHECK(at("a{b=\"c\",d} 1\n") == std::pair<std::size_t, std::size_t>(1, 10));
  CHECK(at("a 1\n\n") == std::pair<std::size_t, std::size_t>(2, 1));
  // A family that is not whole, at its first line.
  CHECK(at("x 1\n# TYPE a histogram\na_sum 1\nb 1\n") == std::pair<std::size_t, std::size_t>(2, 1));
  CHECK(at("a{b=\"\xFF\"} 1\n") == std::pair<std::size_t, std::size_t>(1, 6));
}

TEST_CASE("what is told of an OpenMetrics page") {
  Keep keep;
  const auto parsed = parse_openmetrics(
      "# HELP hits He\\\\l\\np \\\"q\\\"\n# TYPE hits counter\n"
      "hits_total{a=\"x\\\"y\\n\\\\z\\q\"} 5 1700000000.1237 # {trace=\"1\"} 2\n"
      "# TYPE build info\nbuild_info{v=\"1\"} 1\nplain -Inf -1.5\nlate 1 1e300\n# EOF\n",
      keep);
  REQUIRE(parsed.has_value());
  CHECK(*parsed == 4);
  CHECK(keep.types.at("hits") == MetricType::kCounter);
  CHECK(keep.types.at("build") == MetricType::kUntyped);
  CHECK(keep.helps.at("hits") == "He\\l\np \"q\"");
  REQUIRE(keep.samples.size() == 4);
  CHECK(keep.samples[0].name == "hits_total");
  CHECK(keep.samples[0].labels.at(0).second == "x\"y\n\\z\\q");
  CHECK(keep.samples[0].value == 5);
  CHECK(keep.samples[0].timestamp_ms.value_or(0) == 1700000000123);
  CHECK_FALSE(keep.samples[1].timestamp_ms.has_value());
  CHECK(keep.samples[2].timestamp_ms.value_or(0) == -1500);
  CHECK(keep.samples[3].timestamp_ms.value_or(0) > 9'000'000'000'000'000'000);
}

TEST_CASE("hostile OpenMetrics pages cost linear time") {
  // Each is quadratic in a careless parser; that would take minutes.
  constexpr std::size_t kMany = 100'000;
  std::string labels = "a{";
  std::string groups;
  std::string families;
  for (std::size_t i = 0; i < kMany; ++i) {
    labels += (i == 0 ? "l" : ",l") + std::to_string(i) + "=\"\"";
    groups += "a{b=\"" + std::to_string(i) + "\"} 1\n";
    families += "a" + std::to_string(i) + " 1\n";
  }
  CHECK(good(labels + "} 1\n# EOF\n"));
  CHECK(good(groups + "# EOF\n"));
  CHECK(good(families + "# EOF\n"));
  CHECK_FALSE(good("a{b=\"" + std::string(kMany, '\\')));
  CHECK_FALSE(good(std::string(kMany, '\n')));
}

}  // namespace
}  // namespace optipod::text
