// SPDX-License-Identifier: Apache-2.0
// The cases that Prometheus' own tests of /federate cover, with data of our own.
#include "aggregator/federate.hpp"

#include <string>
#include <vector>

#include "aggregator/store.hpp"
#include "tests/aggregator/support.hpp"

using namespace optipod::aggregator;

namespace {

constexpr std::int64_t kNow = 100 * 60'000;  // minute 100
constexpr std::int64_t kFresh = kNow - 10'000;

/// Serves what the selectors take of `body`, scraped at `at`.
std::string served(const std::vector<std::string>& matches, const std::string& body,
                   std::int64_t at = kFresh, LabelPairs external = {}) {
  std::vector<Selector> selectors;
  for (const std::string& match : matches) {
    auto selector = Selector::parse(match);
    REQUIRE(selector.has_value());
    selectors.push_back(*selector);
  }
  const SeriesSet set = set_of(body, at);
  const SeriesSet* sets[] = {&set};
  std::string out;
  federate(sets, selectors, kNow, {.external_labels = std::move(external)}, out);
  return out;
}

const std::string kBody =
    "power_watts{rack=\"r1\",instance=\"i1\"} 10\n"
    "power_watts{rack=\"r2\",instance=\"i1\"} 11\n"
    "fan_rpm{rack=\"r1\",instance=\"i2\"} 900\n"
    "plain 7\n";

}  // namespace

TEST_CASE("federate: each case that Prometheus' own test of it has") {
  struct Case {
    const char* about;
    std::vector<std::string> matches;
    std::string answer;
    LabelPairs external = {};
  };
  const std::string fan =
      "# TYPE fan_rpm untyped\nfan_rpm{instance=\"i2\",rack=\"r1\"} 900 5990000\n";
  const std::string plain = "# TYPE plain untyped\nplain{instance=\"\"} 7 5990000\n";
  const std::string r1 = "power_watts{instance=\"i1\",rack=\"r1\"} 10 5990000\n";
  const std::string r2 = "power_watts{instance=\"i1\",rack=\"r2\"} 11 5990000\n";
  const std::string power = "# TYPE power_watts untyped\n";
  const std::vector<Case> cases{
      {"no selector", {}, ""},
      {"nothing matches", {"absent"}, ""},
      {"a metric of two series", {"power_watts"}, power + r1 + r2},
      {"a metric of one series", {"fan_rpm"}, fan},
      {"a metric without labels", {"plain"}, plain},
      {"a label alone", {"{rack='r1'}"}, fan + power + r1},
      {"two selectors", {"power_watts", "fan_rpm"}, fan + power + r1 + r2},
      {"two that overlap", {"{rack='r1'}", "power_watts"}, fan + power + r1 + r2},
      {"everything", {"{__name__=~'.+'}"}, fan + plain + power + r1 + r2},
      {"an empty value: what lacks the label", {"{rack='',__name__=~'.+'}"}, plain},
      {"an empty value of a label that nobody has",
       {"{nobody_has='',__name__=~'.+'}"},
       fan + plain + power + r1 + r2},
      {"external labels fill gaps",
       {"{__name__=~'[fp][al].+'}"},
       "# TYPE fan_rpm untyped\nfan_rpm{instance=\"i2\",rack=\"r1\",zone=\"z\"} 900 5990000\n"
       "# TYPE plain untyped\nplain{instance=\"\",rack=\"x\",zone=\"z\"} 7 5990000\n",
       {{"rack", "x"}, {"zone", "z"}}},
      {"instance as an external label",
       {"{__name__=~'[fp][al].+'}"},
       fan + "# TYPE plain untyped\nplain{instance=\"me\"} 7 5990000\n",
       {{"instance", "me"}}},
  };
  for (const Case& c : cases) {
    INFO(c.about);
    CHECK(served(c.matches, kBody, kFresh, c.external) == c.answer);
  }
  // A stale one, and an old one that is not too old.
  SeriesSet set = set_of("gone 1\nold 2 5710000\n", kFresh);
  set.values[0] = stale();
  const SeriesSet* sets[] = {&set};
  std::string out;
  CHECK(federate(sets, std::vector{*Selector::parse("gone"), *Selector::parse("old")}, kNow, {},
                 out) == 1);
  CHECK(out == "# TYPE old untyped\nold{instance=\"\"} 2 5710000\n");
  // Bad at the beginning, and in the middle.
  CHECK(Selector::parse("-no_metric").error().starts_with("1:1: parse error: unexpected"));
  CHECK(Selector::parse("no-metric").error().starts_with("1:3: parse error: unexpected"));
}

TEST_CASE("federate: what two selectors match is there once") {
  CHECK(served({"{__name__=~\"power.*\"}", "power_watts{rack!=\"r2\"}", "{instance=\"i1\"}"},
               kBody) == served({"power_watts"}, kBody));
}

TEST_CASE("federate: a series' own empty label is not written") {
  CHECK(served({"a"}, "a{b=\"\",c=\"d\"} 1\n") ==
        "# TYPE a untyped\na{c=\"d\",instance=\"\"} 1 5990000\n");
}

TEST_CASE("federate: external labels fill gaps at the end and never override") {
  const LabelPairs external{{"cluster", "berlin"}, {"rack", "outside"}};
  CHECK(served({"plain", "fan_rpm"}, kBody, kFresh, external) ==
        "# TYPE fan_rpm untyped\n"
        "fan_rpm{instance=\"i2\",rack=\"r1\",cluster=\"berlin\"} 900 5990000\n"
        "# TYPE plain untyped\n"
        "plain{cluster=\"berlin\",instance=\"\",rack=\"outside\"} 7 5990000\n");
}

TEST_CASE("federate: the lookback is five minutes") {
  CHECK(served({"plain"}, kBody, kNow - 299'000) ==
        "# TYPE plain untyped\nplain{instance=\"\"} 7 5701000\n");
  CHECK(served({"plain"}, kBody, kNow - 300'001).empty());
  CHECK_FALSE(served({"plain"}, kBody, kNow).empty());
  CHECK(served({"plain"}, kBody, kNow + 1).empty());
}

TEST_CASE("federate: a stale series is not served, nor its family's head") {
  SeriesSet set = set_of("a 1\nb 2\n", kFresh);
  set.values[0] = stale();
  const SeriesSet* sets[] = {&set};
  const std::vector<Selector> all{*Selector::parse("{__name__=~\".+\"}")};
  std::string out;
  CHECK(federate(sets, all, kNow, {}, out) == 1);
  CHECK(out == "# TYPE b untyped\nb{instance=\"\"} 2 5990000\n");
}

TEST_CASE("federate: a series is not served beyond its own age") {
  SeriesSet set = set_of("a 1\nb 2\n", kFresh);
  const std::array<std::int64_t, 2> ages{9'000, 10'000};
  set.max_age_ms = ages;
  const SeriesSet* sets[] = {&set};
  const std::vector<Selector> all{*Selector::parse("{__name__=~\".+\"}")};
  std::string out;
  CHECK(federate(sets, all, kNow, {}, out) == 1);
  CHECK(out.find("\nb{") != std::string::npos);
}

TEST_CASE("federate: a metric of several targets is one family") {
  const SeriesSet one = set_of("up 1\na 5\n", kFresh, {{"instance", "x"}, {"node", "n1"}});
  const SeriesSet two = set_of("b 6\nup 0\n", kFresh, {{"instance", "y"}, {"node", "n2"}});
  const SeriesSet* sets[] = {&one, &two};
  const std::vector<Selector> all{*Selector::parse("{node=~\"n.\"}")};
  std::string out;
  CHECK(federate(sets, all, kNow, {}, out) == 4);
  CHECK(out ==
        "# TYPE a untyped\na{instance=\"x\",node=\"n1\"} 5 5990000\n"
        "# TYPE b untyped\nb{instance=\"y\",node=\"n2\"} 6 5990000\n"
        "# TYPE up untyped\nup{instance=\"x\",node=\"n1\"} 1 5990000\n"
        "up{instance=\"y\",node=\"n2\"} 0 5990000\n");
}

TEST_CASE("federate: the labels of series and target are merged by name, whatever stands where") {
  const SeriesSet set = set_of("m{a=\"1\",k=\"2\",z=\"3\"} 1\nm{k=\"\\\"q\\\"\"} 2\nm 3\n", kFresh,
                               {{"instance", "i"}, {"job", "j"}, {"node", "n"}});
  const SeriesSet* sets[] = {&set};
  const auto lines = [&](const char* match) {
    std::string out;
    federate(sets, std::vector{*Selector::parse(match)}, kNow, {}, out);
    return out;
  };
  CHECK(lines("m") ==
        "# TYPE m untyped\n"
        "m{instance=\"i\",job=\"j\",node=\"n\"} 3 5990000\n"
        "m{a=\"1\",instance=\"i\",job=\"j\",k=\"2\",node=\"n\",z=\"3\"} 1 5990000\n"
        "m{instance=\"i\",job=\"j\",k=\"\\\"q\\\"\",node=\"n\"} 2 5990000\n");
  CHECK(lines("m{k=\"\\\"q\\\"\",node=\"n\"}").ends_with("} 2 5990000\n"));
  CHECK(lines("m{node!=\"n\"}").empty());
  CHECK(lines("m{node=\"\"}").empty());
  CHECK(lines("m{k=\"2\",node=\"other\"}").empty());
}

TEST_CASE("federate: selectors of targets are answered target by target") {
  std::vector<SeriesSet> held;
  for (const char* node : {"n1", "n2", "n3"}) {
    held.push_back(set_of("m{x=\"1\"} 1\nm{x=\"2\"} 2\n", kFresh, {{"node", node}}));
  }
  const SeriesSet* sets[] = {&held[0], &held[1], &held[2]};
  const std::vector<Selector> some{*Selector::parse("m{node=~\"n[12]\",x=\"1\"}"),
                                   *Selector::parse("{node=\"n2\",x=\"2\"}")};
  std::string out;
  CHECK(federate(sets, some, kNow, {}, out) == 3);
  CHECK(out ==
        "# TYPE m untyped\n"
        "m{node=\"n1\",x=\"1\",instance=\"\"} 1 5990000\n"
        "m{node=\"n2\",x=\"1\",instance=\"\"} 1 5990000\n"
        "m{node=\"n2\",x=\"2\",instance=\"\"} 2 5990000\n");
}

TEST_CASE("federate: protobuf says what the text says") {
  const SeriesSet set = set_of("a{x=\"y\"} 2\n", 1, {{"node", "n"}});
  const SeriesSet* sets[] = {&set};
  std::string out;
  const std::vector<Selector> all{*Selector::parse("a")};
  CHECK(federate(sets, all, 1, {.format = optipod::text::Format::kProtobuf}, out) == 1);
  using namespace std::string_literals;
  CHECK(out ==
        "\x35"s  // bytes of the family
        "\x0a\x01"s
        "a\x18\x03"s                      // name, type untyped
        "\x22\x2e"s                       // a metric
        "\x0a\x09\x0a\x04node\x12\x01n"s  // labels
        "\x0a\x06\x0a\x01x\x12\x01y"s
        "\x0a\x0c\x0a\x08instance\x12\x00"s
        "\x2a\x09\x09\x00\x00\x00\x00\x00\x00\x00\x40"s  // untyped, 2
        "\x30\x01"s);                                    // at 1 ms
}

TEST_CASE("federate: values keep every digit") {
  CHECK(served({"a"}, "a 0.30000000000000004\n").find("} 0.30000000000000004 ") !=
        std::string::npos);
  CHECK(served({"a"}, "a NaN\n").find("} NaN ") != std::string::npos);
  CHECK(served({"a"}, "a -Inf\n").find("} -Inf ") != std::string::npos);
}

TEST_CASE("federate: packed values are written the same, in each format") {
  SeriesSet set = set_of("a 0.333333333\nb NaN\nc -Inf\nd 1e6\ne 7\nf 1099511627776\n", kFresh);
  set.values[4] = stale();
  const std::vector<Selector> all{*Selector::parse("{__name__=~\".+\"}")};
  using enum optipod::text::Format;
  const auto body = [&](optipod::text::Format format) {
    const SeriesSet* sets[] = {&set};
    std::string out;
    CHECK(federate(sets, all, kNow, {.format = format}, out) == 5);
    return out;
  };
  const std::string text = body(kText), binary = body(kProtobuf);
  CHECK(text.find("a{instance=\"\"} 0.333333333 5990000\n") != std::string::npos);
  set.packed = pack(std::exchange(set.values, {}));
  CHECK(body(kText) == text);
  CHECK(body(kProtobuf) == binary);
}

TEST_CASE("federate: a long body comes in pieces, of one moment") {
  std::vector<SeriesSet> held;
  std::vector<const SeriesSet*> sets;
  held.reserve(3'000);
  sets.reserve(3'000);
  const std::string long_value(200, 'v');
  for (int n = 0; n < 3'000; ++n) {
    held.push_back(set_of("one 1\ntwo{long=\"" + long_value + "\"} 2\n", kFresh,
                          {{"node", std::to_string(n)}}));
  }
  for (const SeriesSet& set : held) sets.push_back(&set);
  const std::vector<Selector> all{*Selector::parse("{__name__=~\".+\"}")};
  std::string whole;
  CHECK(federate(sets, all, kNow, {}, whole) == 6'000);
  std::string joined;
  int pieces = 0;
  FederateBody body(sets, all, kNow, {});
  for (bool more = true; more; ++pieces) {
    std::string piece;
    more = body.next(piece);
    CHECK(piece.size() < 2 * FederateBody::kPiece);
    joined += piece;
  }
  CHECK(pieces > 2);
  CHECK(body.written() == 6'000);
  CHECK(joined == whole);
}

TEST_CASE("store: views by node, swapped whole, removed whole") {
  Store store;
  const auto view = [](const char* node, bool up) {
    auto made = std::make_shared<TargetView>();
    made->target = std::make_shared<const Target>(Target{.node = node, .address = "h:1"});
    made->up = up;
    return made;
  };
  store.publish(view("b", false));
  store.publish(view("a", false));
  const Views before = store.views();
  store.publish(view("b", true));
  const Views after = store.views();
  REQUIRE(after.size() == 2);
  CHECK(after[0]->target->node == "a");
  CHECK(after[1]->up);
  CHECK_FALSE(before[1]->up);  // a reader keeps what it took
  store.remove("a");
  store.remove("never");
  CHECK(store.views().size() == 1);
}
