// SPDX-License-Identifier: Apache-2.0
#include "aggregator/parse.hpp"

#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/aggregator/support.hpp"

using namespace optipod::aggregator;
using Lines = std::vector<std::string>;

namespace {

const LabelPairs kOurs{{"instance", "10.0.0.1:9000"}, {"job", "optipod"}, {"node", "n1"}};
const std::string kText = "instance=\"10.0.0.1:9000\",job=\"optipod\",node=\"n1\"";

BodyError error_of(std::string_view body, ParseLimits limits = {}) {
  auto set = BodyParser(kOurs, limits).parse(body, 1000, 1000);
  INFO(body.substr(0, 200));
  REQUIRE_FALSE(set.has_value());
  return set.error();
}

}  // namespace

TEST_CASE("the server's labels go onto every series; those in their way are renamed") {
  CHECK(lines_of(set_of("a 1\n", 5, kOurs)) == Lines{"a{" + kText + "} 1 5"});
  CHECK(lines_of(set_of("a{node=\"evil\",zone=\"z\"} 1\n", 5, kOurs)) ==
        Lines{"a{exported_node=\"evil\"," + kText + ",zone=\"z\"} 1 5"});
  CHECK(lines_of(set_of("a{node=\"evil\",exported_node=\"there\"} 1\n", 5, kOurs)) ==
        Lines{"a{exported_exported_node=\"evil\",exported_node=\"there\"," + kText + "} 1 5"});
  CHECK(lines_of(set_of("a{node=\"\",job=\"x\"} 1\n", 5, kOurs)) ==
        Lines{"a{exported_job=\"x\"," + kText + "} 1 5"});
}

TEST_CASE("names that are not plain are written with underscores") {
  CHECK(lines_of(set_of("{\"my.metric\",\"a.b\"=\"c\"} 1\n", 5)) ==
        Lines{"my_metric{a_b=\"c\"} 1 5"});
}

TEST_CASE("of a series that is there twice the first sample counts, also when it repeats") {
  BodyParser parser({}, {});
  for (int scrape = 0; scrape < 3; ++scrape) {  // the first learns, those after it replay
    const auto set = parser.parse(
        fmt::format("z{{x=\"1\",y=\"2\"}} 1{0}\na 2{0}\na 3{0}\nz{{y=\"2\",x=\"1\"}} 4{0}\n"
                    "b{{x=\"\"}} 5{0}\nb 6{0}\nc 7{0}\n",
                    scrape),
        9, 9);
    REQUIRE(set.has_value());
    CHECK(lines_of(*set) == Lines{fmt::format("z{{x=\"1\",y=\"2\"}} 1{} 9", scrape),
                                  fmt::format("a{{}} 2{} 9", scrape),
                                  fmt::format("b{{}} 5{} 9", scrape),
                                  fmt::format("c{{}} 7{} 9", scrape)});
    CHECK(parser.samples() == 7);
    CHECK(parser.repeated() == 3);
    CHECK(parser.repeated_series() == "a{}");
    // Sorted for /federate: each once.
    CHECK(set->schema->order().size() == 4);
    CHECK(set->schema->runs().size() == 4);
  }
  const auto shared = parser.parse("z{x=\"1\",y=\"2\"} 1\na 2\nb 3\nc 4\n", 9, 9);
  REQUIRE(shared.has_value());
  CHECK(shared->values == std::vector<double>{1, 2, 3, 4});
  CHECK(parser.repeated() == 0);
  CHECK(parser.repeated_series().empty());
}

TEST_CASE("a page with a series twice shares the schema of one that has it once") {
  BodyParser parser({}, {});
  const auto twice = parser.parse("a 1\na 2\nb 3\n", 9, 9);
  const auto once = parser.parse("a 4\nb 5\n", 9, 9);
  REQUIRE(twice.has_value());
  REQUIRE(once.has_value());
  CHECK(twice->schema == once->schema);
}

TEST_CASE("of a series at several times the newest counts, of one time the first") {
  const auto kept = [](const std::string& page) {
    BodyParser parser({}, {});
    Lines lines;
    for (int scrape = 0; scrape < 2; ++scrape) {
      const auto set = parser.parse(page, 1000, 1500);
      REQUIRE(set.has_value());
      CHECK((scrape == 0 || lines == lines_of(*set)));
      lines = lines_of(*set);
    }
    REQUIRE(lines.size() == 1);
    return lines[0] + fmt::format(" {}", parser.repeated());
  };
  CHECK(kept("a 1 400\na 2 500\n") == "a{} 2 500 0");
  CHECK(kept("a 1 500\na 2 400\n") == "a{} 1 500 0");
  CHECK(kept("a 1 500\na 2 500\n") == "a{} 1 500 1");
  CHECK(kept("a 1 400\na 2 500\na 3 500\na 4 450\n") == "a{} 2 500 1");
  // Without a time it is of the scrape, and taken only when it is the first.
  CHECK(kept("a 1 400\na 2\n") == "a{} 1 400 1");
  CHECK(kept("a 1\na 2 400\n") == "a{} 1 1000 0");
  CHECK(kept("a 1\na 2 1000\n") == "a{} 1 1000 1");
  CHECK(kept("a 1\na 2 1400\n") == "a{} 2 1400 0");
  CHECK(kept("a 1\na 2 9999\n") == "a{} 2 1000 0");  // ahead of us, it is of now
}

TEST_CASE("times of a series that is there twice may move against each other") {
  BodyParser parser({}, {});
  const auto value = [&](const char* page) { return parser.parse(page, 1000, 1000)->values; };
  CHECK(value("a 1 400\nb 7\na 2 500\n") == std::vector<double>{2, 7});
  CHECK(value("a 3 600\nb 8\na 4 500\n") == std::vector<double>{3, 8});
  CHECK(value("a 5 700\nb 9\na 6 800\n") == std::vector<double>{6, 9});
}

TEST_CASE("labels that become the same label void the body") {
  const BodyError error = error_of("{\"a\",\"b.c\"=\"1\",\"b_c\"=\"2\"} 1\n");
  CHECK(error.kind == BodyError::Kind::kSyntax);
  CHECK(error.what == "a: label b_c is given twice");
}

TEST_CASE("broken text voids the body and says where") {
  const BodyError error = error_of("a 1\nb{ 1\n");
  CHECK(error.kind == BodyError::Kind::kSyntax);
  CHECK(error.what.starts_with("line 2:"));
  CHECK(error_of("a 1 -5\n").kind == BodyError::Kind::kSyntax);
}

TEST_CASE("limits void the body") {
  CHECK(error_of("a 1\nb 1\nc 1\n", {.max_samples = 2}).kind == BodyError::Kind::kLimit);
  CHECK(error_of(fmt::format("a{{b=\"{}\"}} 1\n", std::string(10'000'000, 'x'))).kind ==
        BodyError::Kind::kLimit);
  CHECK(error_of(std::string(10'000, 'x') + " 1\n").kind == BodyError::Kind::kLimit);
  CHECK(error_of("a{b=\"1\",c=\"2\"} 1\n", {.max_labels = 1}).kind == BodyError::Kind::kLimit);
  CHECK(error_of("a 1\nb 1\nbroken{\n", {.max_samples = 1}).kind == BodyError::Kind::kSyntax);
  CHECK(BodyParser(kOurs, {.max_samples = 2}).parse("a 1\nb 1\n", 5, 5).has_value());
}

TEST_CASE("label limits are those of the series that is served") {
  const auto fails = [](const LabelPairs& ours, const std::string& page, ParseLimits limits) {
    BodyParser parser(ours, limits);
    const auto set = parser.parse(page, 5, 5);
    CHECK((set || set.error().kind == BodyError::Kind::kLimit));
    return !set.has_value();
  };
  const LabelPairs ours{{"job", "optipod"}, {"node", "n1"}, {"zone", ""}};
  const std::string two = "a{b=\"1\",node=\"2\",zone=\"\",c=\"\"} 1\n";  // and ours, and its name
  CHECK(fails(ours, two, {.max_labels = 4}));
  CHECK_FALSE(fails(ours, two, {.max_labels = 5}));
  CHECK_FALSE(fails(ours, "", {.max_labels = 1}));  // no series, nothing to count

  const auto names = [](std::size_t most) { return ParseLimits{.max_label_name_bytes = most}; };
  CHECK(fails({}, "a 1\n", names(7)));  // __name__
  CHECK_FALSE(fails({}, "a 1\n", names(8)));
  CHECK(fails(ours, "a{node=\"x\"} 1\n", names(12)));  // exported_node
  CHECK_FALSE(fails(ours, "a{node=\"x\"} 1\n", names(13)));
  CHECK(fails({{"a_long_name", "x"}}, "a 1\n", names(10)));
  CHECK_FALSE(fails({{"a_long_name", "x"}}, "", names(10)));
  CHECK_FALSE(fails({}, "a{a_long_name=\"\"} 1\n", names(10)));

  const auto values = [](std::size_t most) { return ParseLimits{.max_label_value_bytes = most}; };
  CHECK(fails({{"instance", "10.0.0.1:9000"}}, "a 1\n", values(12)));
  CHECK_FALSE(fails({{"instance", "10.0.0.1:9000"}}, "a 1\n", values(13)));
  CHECK(fails({}, "metric 1\n", values(5)));
  CHECK_FALSE(fails({}, "metric 1\n", values(6)));
}

TEST_CASE("a body that repeats the series shares their schema; another one does not") {
  BodyParser parser(kOurs, {});
  const auto first = parser.parse("a{x=\"1\"} 1\nb 2\n", 10, 10);
  const auto second = parser.parse("# HELP a text\na{x=\"1\"} 5\nb 6\n", 20, 20);
  REQUIRE(first.has_value());
  REQUIRE(second.has_value());
  CHECK(first->schema == second->schema);
  CHECK(second->values == std::vector<double>{5, 6});
  CHECK(second->scraped_ms == 20);
  CHECK_FALSE(parser.parse("a{x=\"1\"} oops\n", 30, 30).has_value());
  const auto third = parser.parse("a{x=\"1\"} 7\nb 8\n", 40, 40);
  REQUIRE(third.has_value());
  CHECK(third->schema == first->schema);
  const auto fourth = parser.parse("a{x=\"2\"} 7\nb 8\n", 50, 50);
  REQUIRE(fourth.has_value());
  CHECK(fourth->schema != first->schema);
  CHECK(lines_of(*fourth)[0] == "a{" + kText + ",x=\"2\"} 7 50");
  CHECK(lines_of(*first)[0] == "a{" + kText + ",x=\"1\"} 1 10");
}

TEST_CASE("targets that show the same series share them; nobody's are gone at once") {
  const auto shared = std::make_shared<SharedPages>();
  const std::string page = "a{x=\"1\"} 1\nb{x=\"1\",job=\"theirs\"} 2\n";
  {
    BodyParser one({{"job", "j"}, {"node", "n1"}}, {}, shared);
    BodyParser two({{"job", "j"}, {"node", "n2"}}, {}, shared);
    BodyParser other({{"node", "n3"}}, {}, shared);  // nothing of its page is in the way
    const auto a = one.parse(page, 1, 1), b = two.parse(page, 2, 2), c = other.parse(page, 3, 3);
    REQUIRE(a.has_value());
    REQUIRE(b.has_value());
    REQUIRE(c.has_value());
    CHECK(a->schema == b->schema);
    CHECK(a->schema != c->schema);
    CHECK(lines_of(*b)[1] == "b{exported_job=\"theirs\",job=\"j\",node=\"n2\",x=\"1\"} 2 2");
    CHECK(lines_of(*c)[1] == "b{job=\"theirs\",node=\"n3\",x=\"1\"} 2 3");
    CHECK(shared->stats().schemas == 2);
    CHECK(shared->stats().label_sets == 3);
    CHECK(shared->stats().skeletons == 1);
    CHECK(shared->stats().skeleton_bytes > 0);

    const auto fresh = two.parse("a{x=\"1\"} 1 5\n", 7, 7);  // a time is part of the shape
    REQUIRE(fresh.has_value());
    CHECK(lines_of(*fresh) == Lines{"a{job=\"j\",node=\"n2\",x=\"1\"} 1 5"});
    CHECK(two.parse("a{x=\"1\"} 9 99\n", 7, 7)->own_ms == std::vector<std::int64_t>{7});
  }
  CHECK(shared->stats().schemas == 0);
  CHECK(shared->stats().label_sets == 0);
  CHECK(shared->stats().skeletons == 0);
  CHECK(shared->stats().skeleton_bytes == 0);
}

TEST_CASE("pages that differ in a line share the rest") {
  std::string before, behind;
  for (int i = 0; i < 100; ++i) {
    before += fmt::format("# TYPE a{0} gauge\na{0}{{x=\"{0}\"}} {0}\n", i);
    behind += fmt::format("# TYPE z{0} gauge\nz{0}{{x=\"{0}\"}} {0} 5\n", i);
  }
  const auto page = [&](int node) {
    return fmt::format("{}# TYPE n gauge\nn{{node=\"node-{}\"}} {}\n{}", before, node, node,
                       behind);
  };
  const auto shared = std::make_shared<SharedPages>();
  const auto alone = std::make_shared<SharedPages>();
  BodyParser first({}, {}, alone);
  REQUIRE(first.parse(page(0), 9, 9).has_value());
  std::vector<BodyParser> parsers;
  for (int node = 0; node < 10; ++node) {
    auto& parser = parsers.emplace_back(LabelPairs{}, ParseLimits{}, shared);
    for (int scrape = 0; scrape < 2; ++scrape) {
      const auto set = parser.parse(page(node), 9, 9);
      REQUIRE(set.has_value());
      REQUIRE(set->schema->size() == 201);
      CHECK(set->values[100] == node);
      CHECK(set->own_ms[100] == kNoTime);
      CHECK(set->own_ms[101] == 5);
      CHECK(set->schema->at(100).text == fmt::format("node=\"node-{}\"", node));
      CHECK(lines_of(*set)[200] == "z99{x=\"99\"} 99 5");
    }
    // Cut at a piece's end or anywhere, it is another page.
    const auto cut = parser.parse(page(node).substr(0, page(node).size() / 2), 9, 9);
    CHECK((!cut || cut->schema->size() < 201));
    REQUIRE(parser.parse(page(node), 9, 9).has_value());
  }
  const auto one = alone->stats(), all = shared->stats();
  CHECK(all.skeletons == one.skeletons + 9);
  CHECK(all.skeleton_bytes < 3 * one.skeleton_bytes);
  CHECK(all.label_sets == one.label_sets + 9);
  CHECK(all.schemas == 10);
  CHECK(all.shapes == 1);
  parsers.erase(parsers.begin());  // the one that the others are like
  for (std::size_t i = 0; i < parsers.size(); ++i) {
    const auto set = parsers[i].parse(page(static_cast<int>(i) + 1), 9, 9);
    REQUIRE(set.has_value());
    CHECK(set->values[100] == static_cast<double>(i) + 1);
    CHECK(set->schema->at(100).text == fmt::format("node=\"node-{}\"", i + 1));
  }
  CHECK(shared->stats().schemas == 9);
}

TEST_CASE("a page that is another each time leaves nothing behind") {
  const auto shared = std::make_shared<SharedPages>();
  BodyParser alternating(kOurs, {}, shared), growing(kOurs, {}, shared);
  for (int scrape = 0; scrape < 10'000; ++scrape) {
    const char* const side = scrape % 2 == 0 ? "even" : "odd";
    REQUIRE(alternating.parse(fmt::format("{0}{{x=\"{0}\"}} {1}\n", side, scrape), 1, 1));
    REQUIRE(growing.parse(fmt::format("new_{0}{{x=\"{0}\"}} 1\n", scrape), 1, 1));
    const auto stats = shared->stats();
    REQUIRE(stats.schemas <= 2);
    REQUIRE(stats.shapes <= 2);
    REQUIRE(stats.label_sets <= 2);
    REQUIRE(stats.skeletons <= 2);
    REQUIRE(stats.skeleton_bytes < 1'000);
  }
}

TEST_CASE("pages beyond the bound are read in full, and right") {
  const auto shared = std::make_shared<SharedPages>(0);
  BodyParser parser({}, {}, shared);
  const auto first = parser.parse("a 1\n", 1, 1), second = parser.parse("a 2\n", 2, 2);
  REQUIRE(first.has_value());
  REQUIRE(second.has_value());
  CHECK(first->schema == second->schema);
  CHECK(second->values == std::vector<double>{2});
  CHECK(shared->stats().skeletons == 0);
  CHECK(shared->stats().skeleton_bytes == 0);
}

TEST_CASE("what the agent measured has the page's sample time, the rest the scrape's") {
  const std::string page =
      "optipod_agent_up 1\noptipod_sample_timestamp_seconds 8.5\noptipod_node_cpus 4\n"
      "optipod_container_memory_usage_bytes 7\noptipod_agent_ticks_total 3\n"
      "optipod_exporter_scrapes_total 2\n";
  CHECK(lines_of(set_of(page, 10'000)) ==
        Lines{"optipod_agent_up{} 1 10000", "optipod_sample_timestamp_seconds{} 8.5 10000",
              "optipod_node_cpus{} 4 8500", "optipod_container_memory_usage_bytes{} 7 8500",
              "optipod_agent_ticks_total{} 3 8500", "optipod_exporter_scrapes_total{} 2 10000"});
}

TEST_CASE("a sample time in the future, of a dead agent, or that is none, does not count") {
  const auto time_of_cpus = [](const std::string& page) {
    return lines_of(set_of(page + "optipod_node_cpus 4\n", 10'000)).back();
  };
  CHECK(time_of_cpus("optipod_sample_timestamp_seconds 10.001\n") == "optipod_node_cpus{} 4 10000");
  CHECK(time_of_cpus("optipod_sample_timestamp_seconds 10\n") == "optipod_node_cpus{} 4 10000");
  CHECK(time_of_cpus("optipod_sample_timestamp_seconds 9.999\n") == "optipod_node_cpus{} 4 9999");
  CHECK(time_of_cpus("optipod_sample_timestamp_seconds NaN\n") == "optipod_node_cpus{} 4 10000");
  CHECK(time_of_cpus("optipod_sample_timestamp_seconds -1\n") == "optipod_node_cpus{} 4 10000");
  CHECK(time_of_cpus("optipod_sample_timestamp_seconds 1\noptipod_agent_up 0\n") ==
        "optipod_node_cpus{} 4 10000");
  CHECK(time_of_cpus("") == "optipod_node_cpus{} 4 10000");
}

TEST_CASE("a sample read while the target was being asked is not in the future") {
  const auto set = BodyParser({}, {}).parse(
      "optipod_sample_timestamp_seconds 10.4\noptipod_node_cpus 4\na 1 10450\n", 10'000, 10'500);
  REQUIRE(set.has_value());
  CHECK(lines_of(*set)[1] == "optipod_node_cpus{} 4 10400");
  CHECK(lines_of(*set)[2] == "a{} 1 10450");
}

TEST_CASE("explicit times count unless they lie in the future") {
  CHECK(lines_of(set_of("a 1\nb 2 500\nc 3 99999999\nd 4\n", 1000)) ==
        Lines{"a{} 1 1000", "b{} 2 500", "c{} 3 1000", "d{} 4 1000"});
}

TEST_CASE("NaN, infinities and escapes come through") {
  CHECK(lines_of(set_of("a{x=\"q\\\"b\\\\n\\n\"} NaN\nb +Inf\nc -Inf\n", 1)) ==
        Lines{"a{x=\"q\\\"b\\\\n\\n\"} NaN 1", "b{} +Inf 1", "c{} -Inf 1"});
}

TEST_CASE("OpenMetrics gives its samples as they stand, times in ms, without exemplars") {
  const auto set = BodyParser(kOurs, {}).parse(
      "# TYPE a counter\n# HELP a text\na_total{node=\"x\"} 2.0 3.5 # {trace=\"t\"} 1.0\n"
      "a_created{node=\"x\"} 1.0 3.5\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n"
      "h_sum 4\nh_created 5\n# TYPE b info\nb_info{v=\"1\"} 1\n# EOF\n",
      8000, 9000, optipod::text::Format::kOpenMetrics);
  INFO((set ? std::string() : set.error().what));
  REQUIRE(set.has_value());
  CHECK(lines_of(*set) ==
        Lines{"a_total{exported_node=\"x\"," + kText + "} 2 3500",
              "a_created{exported_node=\"x\"," + kText + "} 1 3500",
              "h_bucket{" + kText.substr(0, 39) + "le=\"+Inf\",node=\"n1\"} 1 8000",
              "h_count{" + kText + "} 1 8000", "h_sum{" + kText + "} 4 8000",
              "h_created{" + kText + "} 5 8000", "b_info{" + kText + ",v=\"1\"} 1 8000"});
}

TEST_CASE("an OpenMetrics body is void as a whole, and read as strictly the second time") {
  constexpr auto kOpenMetrics = optipod::text::Format::kOpenMetrics;
  const auto shared = std::make_shared<SharedPages>();
  BodyParser parser(kOurs, {.max_samples = 2}, shared);
  const auto first = parser.parse("# TYPE a counter\na_total 1\n# EOF\n", 1, 1, kOpenMetrics);
  REQUIRE(first.has_value());
  const auto second = parser.parse("# TYPE a counter\na_total 2\n# EOF\n", 2, 2, kOpenMetrics);
  REQUIRE(second.has_value());
  CHECK(first->schema == second->schema);
  CHECK(second->values == std::vector<double>{2});
  CHECK(shared->stats().skeletons == 0);

  const auto error = [&](const char* body) {
    const auto set = parser.parse(body, 3, 3, kOpenMetrics);
    REQUIRE_FALSE(set.has_value());
    return set.error();
  };
  CHECK(error("# TYPE a counter\na_total -1\n# EOF\n").kind == BodyError::Kind::kSyntax);
  CHECK(error("# TYPE a counter\na_total 3\n").what ==
        "line 3: the body does not end in \"# EOF\"");
  CHECK(error("a 1\nb 1\nc 1\n# EOF\n").kind == BodyError::Kind::kLimit);
  CHECK(error("a 1\na 1\n# EOF\n").kind == BodyError::Kind::kSyntax);
  const auto newest = parser.parse("a 1 0.001\na 2 0.002\n# EOF\n", 3, 3, kOpenMetrics);
  REQUIRE(newest.has_value());
  CHECK(lines_of(*newest) == Lines{"a{" + kText + "} 2 2"});
  CHECK(parser.samples() == 2);
  // As text, which asks neither for an end nor for a sign; and back.
  CHECK(parser.parse("a_total -1\n", 4, 4)->values == std::vector<double>{-1});
  CHECK(shared->stats().skeletons == 1);
  CHECK(parser.parse("a_total 1\n# EOF\n", 5, 5, kOpenMetrics).has_value());
}

TEST_CASE("an empty body is good and has no series") {
  CHECK(set_of("", 1).values.empty());
  CHECK(set_of("# only a comment\n\n", 1).values.empty());
}
