// SPDX-License-Identifier: Apache-2.0
//
// parse() reads ordinary lines in blocks and by what the line before was; it must say what the
// plain parser says of any body, and a skeleton must not take what the parser refuses.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common/text/plain_parser.hpp"
#include "common/text/skeleton.hpp"
#include "tests/common/text_cases.hpp"
#include "tests/support/catch.hpp"

namespace optipod::text {
namespace {

using namespace std::string_literals;
using test::Transcript;

/// All forms of lines, ordinary and not, each long enough for several blocks, and ends that are
/// near.
const std::string kPage =
    "# HELP http_requests_total Requests, by code.\n"
    "# TYPE http_requests_total counter\n"
    "http_requests_total{code=\"200\",path=\"/a/long/path/of/more/than/a/block\"} 12 "
    "1700000000123\n"
    "http_requests_total{code=\"404\",path=\"/\xC3\xA4\"} 0.30000000000000004 1700000000123\n"
    "http_requests_total{code=\"500\",path=\"\\\\ \\n \\\" \\x\"} 1e-7 1700000000123\n"
    "http_requests_total{code=\"500\",method=\"GET\",path=\"\",} 5\n"
    "\n"
    "http_requests_total 17\n"
    "# HELP latency_seconds T\xC3\xA4glich \\\\ \\n.\n"
    "# TYPE latency_seconds histogram\n"
    "latency_seconds_bucket{le=\"0.1\"} 1\n"
    "latency_seconds_bucket{le=\"+Inf\"} 2\n"
    "latency_seconds_sum 1.5e+01\n"
    "latency_seconds_count 2\n"
    "# a comment of some length, with \"quotes\" and {braces}\n"
    " \t{\"utf8.name\", \"label.x\" = \"v\" , y=\"w\"}\tNaN \n"
    "colon:name:sum{a=\"raw\nnewline\",b=\"x\"} -Inf\n"
    "gauge_1{a=\"1\",b=\"2\",c=\"3\",d=\"4\",e=\"5\",f=\"6\",g=\"7\",h=\"8\",i=\"9\",j=\"10\"} 1\n"
    "# TYPE last_of_all untyped\n"
    "last_of_all -0";

void check_same(const std::string& text) {
  // Exactly as large as it must be: AddressSanitizer sees reads behind it.
  const std::unique_ptr<char[]> copy(new char[text.size()]);
  std::copy(text.begin(), text.end(), copy.get());
  const std::string_view body(copy.get(), text.size());
  Transcript fast;
  Transcript plain;
  fast.of(parse(body, fast));
  plain.of(parse_plain(body, plain));
  if (fast.text == plain.text) return;
  INFO(text);
  CHECK(fast.text == plain.text);
}

TEST_CASE("a page as it is, and cut anywhere") {
  Transcript good;
  REQUIRE(parse(kPage, good).has_value());
  for (std::size_t size = 0; size <= kPage.size(); ++size) check_same(kPage.substr(0, size));
}

TEST_CASE("long names and values, cut anywhere") {
  const std::string name(150, 'n'), label(150, 'l'), value(150, 'v');
  const std::string sample = name + "{" + label + "=\"" + value + "\",x=\"y\"} 12.5\n";
  const std::string page = "# HELP " + name + " Help.\n# TYPE " + name + " gauge\n" + sample +
                           sample + "# HELP " + name + " Help.\n" + sample + name + " 7\n";
  for (std::size_t size = 0; size <= page.size(); ++size) check_same(page.substr(0, size));
}

TEST_CASE("TYPE lines of all types") {
  const std::string rest(100, '\n');
  for (const std::string type : {"gauge", "counter", "histogram", "summary", "untyped"}) {
    for (const std::string behind : {"", "\n", " ", " \n", "s\n", "\r\n", "\t\n"}) {
      check_same("# TYPE a " + type + behind + rest);
      check_same("# TYPE a " + type.substr(0, type.size() - 1) + behind + rest);
      check_same("# TYPE a  " + type + behind + rest);
    }
  }
  check_same("# TYPE a unknown\n" + rest);
  check_same("# TYPE a histogrammm\n" + rest);
  check_same("# TYPE a histogran\n" + rest);
}

TEST_CASE("any byte changed, left out or doubled") {
  const std::string others = "\n\t\r \"\\{}=,#:_-+.eE09azN\0\x7F\x80\xC3\xFF"s;
  for (std::size_t at = 0; at < kPage.size(); ++at) {
    std::string changed = kPage;
    for (const char other : others) {
      changed[at] = other;
      check_same(changed);
    }
    check_same(kPage.substr(0, at) + kPage.substr(at + 1));
    check_same(kPage.substr(0, at) + kPage[at] + kPage.substr(at));
  }
}

TEST_CASE("names remembered from the line before") {
  const std::string rest(100, '\n');
  const std::string name(200, 'n');
  for (const std::string lines :
       {"a{b=\"1\",c=\"2\"} 1\na{b=\"3\",c=\"4\",d=\"5\"} 1\na{b=\"6\",c=\"7\"} 1\n",
        "a{b=\"1\"} 1\na{b=\"2\"}  1\na{b=\"3\"}\t1\na{b=\"4\"}1\na{b=\"5\",} 1\na{b=\"6\"} 1\n",
        "a{b=\"1\",c=\"2\"} 1\na{b=\"1\\\",c=\"2\"} 1\na{b=\"\",c=\"\"} 1\n",
        "a{b=\"1\",c=\"2\"} 1 5\na{b=\"1\",c=\"2\"} 1\na{b=\"1\",c=\"2\"} 1 6\n",
        "a{b=\"1\"} 1\na{b=\"\xC3\xA4\"} 1\na{b=\"\xC3\"} 1\n",
        "a{b=\"1\"} 1\na{b=\"2\"} x\n",
        "a{b=\"1\"} 1\na{b=\"2\"} 1\r\n",
        "a{b=\"1\"} 1\na{b=\"2\"} 1\x01\n",
        "a{b=\"1\"} 1\n{b=\"2\"} 1\n",
        "ab 1\nab 2\nab{} 3\nab 4\nab{b=\"1\"} 5\nab 6\nabc 7\n",
        "abc 1\nabcd 1\nab 1\nabc{d=\"e\"} 1\nabc{de=\"f\"} 1\nabc{d=\"e\",d=\"f\"} 1\n",
        "a{b=\"1\",c=\"2\"} 1\na{c=\"1\",b=\"2\"} 1\na{b=\"1\"} 1\na{b=\"1\",b=\"2\"} 1\n",
        "a{b=\"1\",c=\"2\"} 1\na{b=\"1\",x=\"2\",c=\"3\"} 1\na{b=\"1\",x=\"2\",b=\"3\"} 1\n",
        "a{b=\"1\",c=\"2\"} 1\na{b=\"1\",c=\"2\",__name__=\"3\"} 1\n",
        "a{b=\"1\",c=\"2\"} 1\na{b=\"1\",c=\"2\",d:e=\"3\"} 1\n",
        "a{b=\"1\"} 1\na{1b=\"1\"} 1\n",
        "1a 1\n",
        ":a 1\n",
        "a{b=\"1\"}\n",
        "a{b=\"1\"} {\n",
        "a 1 99999999999999999999\n",
        "# TYPE a gauge\na 1\n# TYPE a gauges\n",
        "# HELP a \xFFtext\n",
        "a{b=\"\xC3\"} 1\n"}) {
    check_same(lines + rest);
  }
  check_same("a{b=\"1\"} 1\n" + name + "{b=\"1\"} 1\n# HELP " + name + " x\n" + name +
             "{c=\"2\"} 1\n" + rest);
}

TEST_CASE("a skeleton takes no changed page that the parser refuses, and reads it the same") {
  Transcript ignored;
  const auto skeleton = Skeleton::learn(kPage, ignored);
  REQUIRE(skeleton.has_value());
  const std::string others = "\n\t \"{=,#_-+.e09N\0\x80"s;
  std::size_t taken = 0;
  for (std::size_t at = 0; at < kPage.size(); ++at) {
    std::string changed = kPage;
    for (const char other : others) {
      changed[at] = other;
      taken += test::replayed_as_parsed(**skeleton, changed) ? 1 : 0;
    }
  }
  CHECK(taken > 100);  // digits of values
}

}  // namespace
}  // namespace optipod::text
