// SPDX-License-Identifier: Apache-2.0
// The one definition of every metric: what is served is in it, and docs/metrics.md is made of it.
#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "agent/exporter/list_metrics.hpp"
#include "agent/exporter/render.hpp"
#include "common/text/self_metrics.hpp"
#include "tests/agent/exporter/fabricate.hpp"
#include "tests/agent/exporter/scraped.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::exporter;
using namespace optipod::exporter::testing;

namespace {

constexpr std::string_view kBegin = "<!-- begin: optipod-exporter --list-metrics=markdown -->\n";
constexpr std::string_view kEnd = "<!-- end -->\n";

/// A page on which everything is.
std::string full_page(const View& view) {
  shm::Tick tick = node_tick();
  tick.containers.push_back(container("shop", "cart-5d9c", "app", 2));
  tick.containers.push_back(container("shop", "cart-5d9c", "sidecar", 4));
  const std::uint64_t scheduling = shm::kValidThrottledWait | shm::kValidMigrations;
  tick.node.valid |= scheduling | shm::kValidNeighbours | shm::kValidSoftirq | shm::kValidHardirq |
                     shm::kValidLoad;
  for (auto& c : tick.containers) c.valid |= scheduling | shm::kValidIrqStolen;
  tick.neighbours.push_back({.victim_cgroup_id = tick.containers[0].cgroup_id,
                             .victim_first_tick = tick.containers[0].first_tick,
                             .aggressor_cgroup_id = tick.containers[1].cgroup_id,
                             .aggressor_first_tick = tick.containers[1].first_tick,
                             .preemptions = 12,
                             .taken_ns = 3'000'000});
  tick.devices.push_back(device("sda", 3));
  std::string page;
  Renderer renderer;
  render_status({true, tick.node.sampled_realtime_ns}, view, page);
  renderer.render(tick, view, page);
  render_exporter({}, text::SelfMetrics("exporter"), view, page);
  return page;
}

std::map<std::string, Metric> defined() {
  std::map<std::string, Metric> out;
  for (const Metric& metric : all_metrics()) {
    CAPTURE(full_name(metric));
    CHECK(out.emplace(full_name(metric), metric).second);
  }
  return out;
}

/// Their names: {"device", "operation"} of "device,operation={read,write}".
std::set<std::string> label_names(const Metric& metric) {
  std::set<std::string> names;
  if (metric.subject == Subject::kContainer) names = {"container", "namespace", "pod"};
  if (metric.type == text::MetricType::kHistogram) names.insert("le");
  std::string name;
  int depth = 0;
  for (const char c : std::string(metric.labels) + ",") {
    if (c == '{') ++depth;
    if (c == '}') --depth;
    if (depth > 0 || c == '}') continue;
    if (c != ',') {
      if (c != '=') name.push_back(c);
    } else if (!name.empty()) {
      names.insert(std::exchange(name, {}));
    }
  }
  return names;
}

}  // namespace

TEST_CASE("every metric that is served is defined, and the other way round") {
  const auto metrics = defined();
  const Scraped page(full_page({}));
  // Of those the page shows what is defined: nothing else may be known.
  std::string self;
  text::SelfMetrics("exporter").render(self);
  const Scraped known(self);
  for (const auto& [name, type] : known.types()) CHECK(page.family(name));
  for (const auto& [name, type] : page.types()) {
    CAPTURE(name);
    const auto found = metrics.find(name);
    REQUIRE(found != metrics.end());
    CHECK(type == found->second.type);
    CHECK(page.helps().at(name) == found->second.help);
  }
  for (const auto& [name, metric] : metrics) {
    CAPTURE(name);
    CHECK(page.family(name));
  }
}

TEST_CASE("OpenMetrics shows the same samples as the text format") {
  const auto samples = [](const std::string& page) {
    std::string lines;
    std::stringstream in(page);
    for (std::string line; std::getline(in, line);) {
      const bool own = line.starts_with("process_");  // those run on between two pages
      if (!line.starts_with("#")) lines.append(own ? line.substr(0, line.find(' ')) : line) += '\n';
    }
    return lines;
  };
  const std::string open = full_page({.format = text::Format::kOpenMetrics});
  CHECK(samples(open) == samples(full_page({})));
  std::string types;
  for (const auto& [name, metric] : defined()) {
    std::string family = name;
    const auto drop = [&family](std::string_view suffix) {
      if (!family.ends_with(suffix)) return false;
      family.resize(family.size() - suffix.size());
      return true;
    };
    std::string type(text::to_string(metric.type));
    if (metric.type == text::MetricType::kCounter) CHECK(drop("_total"));
    if (metric.type == text::MetricType::kGauge && drop("_info")) type = "info";
    CAPTURE(family);
    const std::string of_type = std::string("# TYPE ").append(family).append(" ").append(type);
    CHECK(open.find(of_type + "\n") != std::string::npos);
    const std::string unit =
        std::string("# UNIT ").append(family).append(" ").append(metric.unit).append("\n");
    CHECK((open.find(unit) != std::string::npos) == !metric.unit.empty());
  }
}

TEST_CASE("series have the labels that are defined") {
  class Labels : public text::ParseSink {
   public:
    void sample(const text::Sample& sample) override {
      auto& names = of[std::string(sample.name)];
      for (const auto& label : *sample.labels) names.emplace(label.name);
    }
    std::map<std::string, std::set<std::string>> of;
  } served;
  REQUIRE(text::parse(full_page({}), served));
  for (const auto& [name, metric] : defined()) {
    CAPTURE(name);
    const bool histogram = metric.type == text::MetricType::kHistogram;
    CHECK(served.of.at(histogram ? name + "_bucket" : name) == label_names(metric));
  }
}

TEST_CASE("neighbours are named by the containers they are, and nobody is counted twice") {
  shm::Tick tick = node_tick();
  tick.node.valid |= shm::kValidNeighbours;
  tick.containers = {container("a", "p", "victim", 2), container("b", "q", "loud", 4)};
  const auto pair = [&](std::uint64_t by, std::uint64_t since, std::uint64_t times) {
    tick.neighbours.push_back({.victim_cgroup_id = tick.containers[0].cgroup_id,
                               .victim_first_tick = tick.containers[0].first_tick,
                               .aggressor_cgroup_id = by,
                               .aggressor_first_tick = since,
                               .preemptions = times});
  };
  pair(tick.containers[1].cgroup_id, tick.containers[1].first_tick, 9);
  pair(0, 0, 5);
  pair(tick.containers[1].cgroup_id, 77, 4);  // of another life: nobody here
  tick.neighbours.push_back({.victim_cgroup_id = 1, .preemptions = 3});
  std::string page;
  Renderer renderer;
  CHECK(renderer.render(tick, {}, page) == 1);
  CHECK(page.find("optipod_container_cpu_preempted_by_total{namespace=\"a\",pod=\"p\","
                  "container=\"victim\",by_namespace=\"b\",by_pod=\"q\","
                  "by_container=\"loud\"} 9\n") != std::string::npos);
  CHECK(page.find("by_container=\"\"} 5\n") != std::string::npos);
  CHECK(page.find("by_container=\"\"} 4\n") == std::string::npos);
}

TEST_CASE("names, units and texts keep the conventions") {
  for (const auto& [name, metric] : defined()) {
    CAPTURE(name);
    std::string_view base = metric.name;
    const bool total = base.ends_with("_total");
    if (total) base.remove_suffix(6);
    CHECK(total == (metric.type == text::MetricType::kCounter));
    for (const std::string_view unit : {"seconds", "bytes"}) {
      const bool named = base == unit || base.ends_with("_" + std::string(unit));
      CHECK(named == (metric.unit == unit));
    }
    CHECK(metric.help.ends_with("."));
    CHECK_FALSE(metric.source.empty());
  }
}

TEST_CASE("a selection shows its groups and the status") {
  const auto types = [](const std::vector<std::string>& groups) {
    const auto selection = Selection::parse(groups);
    if (!selection) FAIL(selection.error());
    std::set<std::string> names;
    shm::Tick tick = node_tick();
    tick.containers.push_back(container("shop", "cart", "app", 2));
    std::string page;
    const View view{.selection = *selection};
    Renderer renderer;
    render_status({true, 1}, view, page);
    renderer.render(tick, view, page);
    render_exporter({}, text::SelfMetrics("exporter"), view, page);
    const Scraped scraped(page);
    for (const auto& [name, type] : scraped.types()) names.insert(name);
    return names;
  };
  const auto all = types({});
  const std::set<std::string> status = {"optipod_agent_up", "optipod_sample_timestamp_seconds"};
  for (const Metric& metric : all_metrics()) {
    const std::string name = full_name(metric);
    if (metric.topic == Topic::kStatus || all.count(name) == 0) continue;
    CAPTURE(name);
    const std::string subject(to_string(metric.subject));
    const std::string topic(to_string(metric.topic));
    const std::string both = std::string(subject).append("_").append(topic);
    for (const std::string& group : {subject, topic, both}) {
      CHECK(types({group}).count(name) == 1);
    }
  }
  const std::vector<Metric> all_defined = all_metrics();
  for (const auto& name : types({"node_cpu"})) {
    CAPTURE(name);
    if (status.count(name) == 1) continue;
    const auto metric = std::ranges::find(all_defined, name, full_name);
    REQUIRE(metric != all_defined.end());
    CHECK((metric->subject == Subject::kNode && metric->topic == Topic::kCpu));
  }
  CHECK(types({"container_memory"}).size() == status.size() + 10);
  CHECK(types({"container_memory", "container_memory"}) == types({"container_memory"}));
  auto both = types({"node"});
  both.merge(types({"exporter"}));
  CHECK(types({"node", "exporter"}) == both);

  for (const char* wrong : {"", "nodes", "status", "node_status", "CPU", "node cpu"}) {
    const auto selection = Selection::parse(std::vector<std::string>{"cpu", wrong});
    CAPTURE(wrong);
    REQUIRE_FALSE(selection);
    CHECK(selection.error().find("collect[]=" + std::string(wrong) + ":") == 0);
    CHECK(selection.error().find(" container_memory") != std::string::npos);
  }
}

TEST_CASE("docs/metrics.md is what the definition says") {
  std::ifstream file(METRICS_PAGE);
  std::stringstream read;
  read << file.rdbuf();
  const std::string page = read.str();
  const std::size_t begin = page.find(kBegin);
  const std::size_t end = page.find(kEnd, begin);
  REQUIRE(end != std::string::npos);
  const std::size_t from = begin + kBegin.size();
  const std::string made = "\n" + metrics_as_markdown();
  if (page.substr(from, end - from) != made) {
    std::ofstream("metrics.actual.md") << page.substr(0, from) << made << page.substr(end);
    FAIL(METRICS_PAGE
         " differs from the metrics' definition; what it has to be is in metrics.actual.md");
  }
}
