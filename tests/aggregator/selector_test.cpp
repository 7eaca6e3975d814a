// SPDX-License-Identifier: Apache-2.0
#include "aggregator/selector.hpp"

#include <string>

#include <fmt/format.h>

#include "tests/aggregator/support.hpp"

using namespace optipod::aggregator;

namespace {

/// Which of a few series the selector takes, as letters.
std::string taken(std::string_view text) {
  static const SeriesSet kSet = set_of(
      "up{job=\"a\",env=\"prod\"} 1\n"         // a
      "up{job=\"b\"} 1\n"                      // b
      "optipod:node_up:last{node=\"n1\"} 1\n"  // c
      "other{note=\"two\\nlines\"} 1\n"        // d
      "other{note=\"say \\\"hi\\\"\"} 1\n",    // e
      1000);
  const auto selector = Selector::parse(text);
  INFO(text);
  REQUIRE(selector.has_value());
  std::string letters;
  for (std::size_t i = 0; i < kSet.values.size(); ++i) {
    if (selector->matches(kSet.schema->series()[i])) letters += static_cast<char>('a' + i);
  }
  return letters;
}

std::string error_of(std::string_view text) {
  const auto selector = Selector::parse(text);
  INFO(text);
  REQUIRE_FALSE(selector.has_value());
  return selector.error();
}

}  // namespace

TEST_CASE("a selector takes a name, matchers, or both") {
  CHECK(taken("up") == "ab");
  CHECK(taken("up{}") == "ab");
  CHECK(taken(" up { job = \"a\" } ") == "a");
  CHECK(taken("{__name__=\"up\"}") == "ab");
  CHECK(taken("{__name__=~\"optipod:.*\"}") == "c");
  CHECK(taken("optipod:node_up:last") == "c");
  CHECK(taken("{\"up\"}") == "ab");
  CHECK(taken("{\"up\",job=\"b\"}") == "b");
  CHECK(taken("{\"job\"=\"b\"}") == "b");
  CHECK(taken("nothing") == "");
}

TEST_CASE("all four matchers; an absent label is empty") {
  CHECK(taken("up{job=\"a\"}") == "a");
  CHECK(taken("up{job!=\"a\"}") == "b");
  CHECK(taken("up{job=~\"a|b\"}") == "ab");
  CHECK(taken("up{job!~\"a|c\"}") == "b");
  CHECK(taken("up{env=\"\"}") == "b");
  CHECK(taken("up{env!=\"\"}") == "a");
  CHECK(taken("up{env=~\".*\"}") == "ab");
  CHECK(taken("up{env=~\".+\"}") == "a");
  CHECK(taken("up{job=\"a\",env=\"prod\",}") == "a");
  CHECK(taken("up{job=\"a\",job=\"b\"}") == "");
}

TEST_CASE("regexes are anchored at both ends, and dot matches a newline") {
  CHECK(taken("{__name__=~\"u\"}") == "");
  CHECK(taken("{__name__=~\"p\"}") == "");
  CHECK(taken("{__name__=~\"up|o\"}") == "ab");
  CHECK(taken("other{note=~\"two.lines\"}") == "d");
  CHECK(taken("other{note!~\"two.*\"}") == "e");
}

TEST_CASE("strings are Go's: double, single and back quotes, escapes") {
  CHECK(taken("other{note='say \"hi\"'}") == "e");
  CHECK(taken("other{note=\"say \\\"hi\\\"\"}") == "e");
  CHECK(taken("other{note=\"two\\nlines\"}") == "d");
  CHECK(taken("other{note=`say \"hi\"`}") == "e");
  CHECK(taken("up{job=\"\\x61\"}") == "a");
  CHECK(taken("up{job=\"\\141\"}") == "a");
  CHECK(taken("up{job=\"\\u0061\"}") == "a");
  CHECK(taken("up{job=\"\\U00000061\"}") == "a");
  CHECK(taken("up # the rest is a comment") == "ab");
}

TEST_CASE("what is no selector is refused with its place") {
  CHECK(error_of("") == "1:1: parse error: no expression found in input");
  CHECK(error_of("up-down").starts_with("1:3: parse error: unexpected \"-\""));
  CHECK(error_of("-foo").starts_with("1:1: parse error: unexpected \"-\""));
  CHECK(error_of("up[5m]").starts_with("1:3: parse error"));
  CHECK(error_of("up offset 5m").starts_with("1:4: parse error"));
  CHECK(error_of("up{job}").starts_with("1:7: parse error"));
  CHECK(error_of("up{job==\"a\"}").starts_with("1:8: parse error"));
  CHECK(error_of("up{job=a}").starts_with("1:8: parse error"));
  CHECK(error_of("up{job=\"a}").starts_with("1:8: parse error: unterminated"));
  CHECK(error_of("up{job=\"\\q\"}").find("escape") != std::string::npos);
  CHECK(error_of("up{job=\"\\xZZ\"}").find("escape") != std::string::npos);
  CHECK(error_of("up{job=\"\\ud800\"}").find("escape") != std::string::npos);
  CHECK(error_of("up{job=\"a\" env=\"b\"}").starts_with("1:12: parse error"));
  CHECK(error_of("up{,}").starts_with("1:4: parse error"));
  CHECK(error_of("up{job=~\"(\"}").find("error parsing regexp") != std::string::npos);
  CHECK(error_of("up{job=~\"a{99999}\"}").find("error parsing regexp") != std::string::npos);
  CHECK(error_of("up{job=~\"a\\\\C\"}").find("invalid escape sequence") != std::string::npos);
  for (const char* word : {"on", "ignoring", "group_left", "group_right", "bool", "atan2", "inf",
                           "NaN", "Inf", "ON"}) {
    CHECK(error_of(word).starts_with("1:1: parse error: unexpected <"));
  }
  CHECK(error_of(std::string("up\0", 3)).find("0x00") != std::string::npos);
}

TEST_CASE("what a query may not ask for, /federate may") {
  CHECK(taken("{job=\"\"}") == "cde");
  CHECK(taken("{job=~\".*\"}") == "abcde");
  CHECK(taken("{job!=\"a\"}") == "bcde");
  CHECK(taken("{job!~\"a\"}") == "bcde");
  CHECK(taken("{__name__=~\".*\"}") == "abcde");
  CHECK(taken("{}").empty());
  CHECK(taken("{__name__=\"\"}").empty());
  CHECK(taken("up{__name__=\"up\"}") == "ab");
  CHECK(taken("up{__name__!=\"up\"}").empty());
  CHECK(taken("{\"up\",__name__=~\"down\"}").empty());
}

TEST_CASE("words of PromQL are names like others where its grammar says so") {
  for (const char* word : {"sum", "by", "offset", "start", "end", "and", "unless", "infx"}) {
    CHECK(taken(word).empty());
  }
  CHECK(taken("up{on=\"\",bool=\"\",inf=\"\",by=\"\"}") == "ab");
  CHECK(taken("up{job=~\"\\\\\\\\C|a\"}") == "a");  // a backslash, and a C
}

TEST_CASE("a hostile regex costs linear time and bounded memory") {
  const SeriesSet set = set_of(fmt::format("a{{b=\"{}\"}} 1\n", std::string(8000, 'a')), 0);
  const auto selector = Selector::parse("a{b=~\"(a*)*(a*)*(a*)*b\"}");
  REQUIRE(selector.has_value());
  CHECK_FALSE(selector->matches(set.schema->series()[0]));
}
