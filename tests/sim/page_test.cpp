// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/page.hpp"

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "common/text/parse.hpp"
#include "tests/sim/server.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using sim::Page;
using sim::Part;

namespace {

constexpr std::int64_t kBegin = 1'800'000'000'000;

std::string recorded() {
  std::ifstream in(OPTIPOD_SIM_PAGE);
  return {std::istreambuf_iterator<char>(in), {}};
}

Page page_of(const std::string& text, Part part) {
  auto page = Page::parse(text, part, kBegin);
  INFO((page ? std::string() : page.error()));
  REQUIRE(page.has_value());
  return std::move(*page);
}

/// A page's samples by series, and its families' types.
struct Seen : text::ParseSink {
  std::map<std::string, double> values;
  std::map<std::string, text::MetricType, std::less<>> types;

  explicit Seen(std::string_view body) {
    const auto parsed = text::parse(body, *this);
    INFO((parsed ? std::string() : parsed.error().what));
    REQUIRE(parsed.has_value());
  }
  void type(std::string_view family, text::MetricType type) override {
    types.emplace(std::string(family), type);
  }
  void sample(const text::Sample& sample) override {
    std::string key(sample.name);
    for (const auto& [name, value] : *sample.labels)
      key.append("|").append(name).append("=").append(value);
    values[key] = sample.value;
  }
  [[nodiscard]] double of(const std::string& key) const { return values.at(key); }
  [[nodiscard]] bool counts(const std::string& key) const {
    const std::string name = key.substr(0, key.find('|'));
    const auto ends = [&](std::string_view end) { return name.ends_with(end); };
    const auto found = types.find(name);
    return found == types.end() ? ends("_bucket") || ends("_sum") || ends("_count")
                                : found->second == text::MetricType::kCounter;
  }
};

}  // namespace

TEST_CASE("every counter grows or stays, on every node, and most of what moved does move") {
  Page page = page_of(recorded(), Part::kAll);
  std::size_t moved = 0;
  for (const std::size_t node : {0U, 1U, 4'999U, 99'999U}) {
    Seen before(page.at(node, kBegin));
    for (const std::int64_t later : {1, 1'000, 5'000, 3'600'000, 20 * 86'400'000}) {
      const Seen now(page.at(node, kBegin + later));
      REQUIRE(now.values.size() == before.values.size());
      CHECK(now.of("optipod_sample_timestamp_seconds") ==
            Approx(1e-3 * static_cast<double>(kBegin + later)).epsilon(1e-12));
      for (const auto& [key, value] : now.values) {
        if (!now.counts(key)) continue;
        INFO(key);
        CHECK(value >= before.of(key));
        moved += value > before.of(key) ? 1 : 0;
      }
      before = now;
    }
  }
  CHECK(moved > 4 * 100);
}

TEST_CASE("buckets add up to their count") {
  Page page = page_of(recorded(), Part::kNode);
  for (std::size_t node = 0; node < 50; ++node) {
    const Seen seen(page.at(node, kBegin + 12'345 + static_cast<std::int64_t>(node)));
    std::string last;
    double below = 0;
    std::size_t histograms = 0;
    std::map<std::string, std::map<double, double>> buckets;
    for (const auto& [key, value] : seen.values) {
      const auto le = key.find("|le=");
      if (le == std::string::npos) continue;
      const std::string bound = key.substr(le + 4);
      buckets[key.substr(0, le)][bound == "+Inf" ? HUGE_VAL : std::stod(bound)] = value;
    }
    for (const auto& [series, counts] : buckets) {
      below = 0;
      for (const auto& [bound, count] : counts) {
        INFO(series << " " << bound);
        CHECK(count >= below);
        below = count;
      }
      std::string counter = series;
      counter.replace(counter.find("_bucket"), 7, "_count");
      CHECK(seen.of(counter) == below);
      ++histograms;
    }
    CHECK(histograms >= 5);
  }
}

TEST_CASE("nodes differ in name and speed") {
  Page page = page_of(recorded(), Part::kAll);
  const std::string key = "optipod_node_cpu_usage_seconds_total";
  const auto speed = [&](std::size_t node) {
    const double before = Seen(page.at(node, kBegin)).of(key);
    return Seen(page.at(node, kBegin + 60'000)).of(key) - before;
  };
  CHECK(speed(1) != speed(2));
  CHECK(speed(1) > 0);
  const std::string text(page.at(42, kBegin));
  CHECK(text.find("{node=\"node-00042\"") != std::string::npos);
  CHECK(text.find("-00042\",container=\"") != std::string::npos);
  CHECK(text.find('@') == std::string::npos);
}

TEST_CASE("a recording: what grew, what moved, what stayed") {
  const std::string earlier =
      "# TYPE a_total counter\na_total{x=\"1\"} 5\na_total{x=\"2\"} 7\n"
      "# TYPE m_bytes gauge\nm_bytes 1000\n# TYPE optipod_sample_timestamp_seconds gauge\n"
      "optipod_sample_timestamp_seconds 100\n";
  const std::string later =
      "a_total{x=\"1\"} 25\na_total{x=\"2\"} 7\nm_bytes 900\noptipod_sample_timestamp_seconds "
      "110\n";
  const auto made = sim::make_template(earlier, later, 10);
  REQUIRE(made.has_value());
  CHECK(made->find("a_total{x=\"1\"} 5 +20\na_total{x=\"2\"} 7\n") != std::string::npos);
  CHECK(made->find("m_bytes 1000 ~\n") != std::string::npos);
  Page page = page_of(*made, Part::kAll);
  CHECK(page.series() == 4);
  const auto grown = [&](std::int64_t ms) {
    return Seen(page.at(0, kBegin + ms)).of("a_total|x=1");
  };
  CHECK(grown(3'600'000) - grown(0) ==
        Approx(2 * 0.45 * 3600).epsilon(0.9));  // at 0.1 to 0.8 of 2/s

  CHECK_FALSE(sim::make_template("a 1\n", "a 2\n", 1).has_value());
  CHECK_FALSE(Page::parse("a 1\n", Part::kAll, 0).has_value());
  CHECK_FALSE(Page::parse("", Part::kAll, 0).has_value());
}

TEST_CASE("clocks that are behind catch up, and are never ahead") {
  using std::chrono::milliseconds;
  const sim::NodeClock right{.begin_ms = kBegin};
  CHECK(right.at(kBegin) == kBegin);
  CHECK(right.at(kBegin + 12'345) == kBegin + 12'345);
  const sim::NodeClock behind{.begin_ms = kBegin, .behind = milliseconds(400'000), .speed = 5};
  CHECK(behind.at(kBegin - 1) == kBegin - 400'000);
  CHECK(behind.at(kBegin) == kBegin - 400'000);
  CHECK(behind.at(kBegin + 1'000) == kBegin - 395'000);
  CHECK(behind.at(kBegin + 100'000) == kBegin + 100'000);
  CHECK(behind.at(kBegin + 100'001) == kBegin + 100'001);
  const sim::NodeClock slow{.begin_ms = kBegin, .behind = milliseconds(5'000)};
  CHECK(slow.at(kBegin + 60'000) == kBegin + 55'000);
}

TEST_CASE("each node has an address of its own") {
  CHECK(sim::address_of(0) == "127.1.1.1");
  CHECK(sim::address_of(253) == "127.1.1.254");
  CHECK(sim::address_of(254) == "127.1.2.1");
  CHECK(sim::address_of(99'999) == "127.2.140.178");
}
