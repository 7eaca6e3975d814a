// SPDX-License-Identifier: Apache-2.0
// What pods use, worked out by hand from their containers' counters.
#include "aggregator/pod_usage.hpp"

#include <map>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "tests/aggregator/support.hpp"

using namespace optipod::aggregator;

namespace {

std::string container(std::string_view ns, std::string_view pod, std::string_view name, double cpu,
                      double memory, double read = 0, double written = 0) {
  const std::string labels =
      fmt::format("namespace=\"{}\",pod=\"{}\",container=\"{}\"", ns, pod, name);
  return fmt::format(
      "optipod_container_cpu_usage_seconds_total{{{0}}} {1}\n"
      "optipod_container_memory_usage_bytes{{{0}}} {2}\n"
      "optipod_container_block_io_bytes_total{{{0},operation=\"read\"}} {3}\n"
      "optipod_container_block_io_bytes_total{{{0},operation=\"write\"}} {4}\n",
      labels, cpu, memory, read, written);
}

/// A node whose pages a test writes.
class Node {
 public:
  explicit Node(LabelPairs labels = {})
      : labels_(std::move(labels)), usage_(LabelSet::of({{"node", "n1"}}), labels_) {}

  void page(double seconds, const std::string& body) {
    const auto ms = std::llround(seconds * 1e3);
    SeriesSet set = set_of("optipod_agent_up 1\n" + body, ms, labels_);
    // As BodyParser does for a page that repeats its names.
    if (last_.schema && lines(*last_.schema) == lines(*set.schema)) set.schema = last_.schema;
    usage_.update(set, ms);
    last_ = std::move(set);
    now_ms_ = ms;
  }

  /// The series of that name and pod; absent when not there.
  [[nodiscard]] std::optional<double> value(std::string_view name, std::string_view pod,
                                            std::string_view ns = "shop") const {
    const SeriesSet set = usage_.series(now_ms_, now_ms_);
    std::optional<double> found;
    for (std::size_t i = 0; set.schema && i < set.values.size(); ++i) {
      const Schema::Series s = set.schema->at(i);
      if (s.name != name || s.label("pod") != pod || s.label("namespace") != ns) continue;
      CHECK_FALSE(found.has_value());
      CHECK(set.labels->value("node") == "n1");
      CHECK(set.time_ms(i) == now_ms_);
      if (!is_stale(set.values[i])) found = set.values[i];
    }
    return found;
  }
  [[nodiscard]] auto cpu(std::string_view pod) const {
    return value("optipod:pod_cpu_usage:mean_1m", pod);
  }
  [[nodiscard]] auto memory(std::string_view pod) const {
    return value("optipod:pod_memory_bytes:last", pod);
  }
  [[nodiscard]] auto io(std::string_view pod) const {
    return value("optipod:pod_block_io_bytes:rate_1m", pod);
  }
  [[nodiscard]] std::size_t series() const { return usage_.series(0, 0).values.size(); }

 private:
  static std::string lines(const Schema& schema) {
    std::string all;
    for (const auto& s : schema.series()) all.append(s.name).append(s.text).append("\n");
    return all;
  }

  LabelPairs labels_;
  PodUsage usage_;
  SeriesSet last_;
  std::int64_t now_ms_ = 0;
};

}  // namespace

TEST_CASE("a pod is the sum of its containers") {
  Node node;
  node.page(100, container("shop", "web", "app", 50, 1000, 10, 20) +
                     container("shop", "web", "proxy", 7, 500, 0, 5) +
                     container("shop", "db", "db", 1, 9000) +
                     container("", "", "/system.slice/ssh.service", 99, 1));
  CHECK_FALSE(node.cpu("web").has_value());
  CHECK(*node.memory("web") == 1500);
  CHECK(node.series() == 6);  // two pods; what is no pod has none

  node.page(110, container("shop", "web", "app", 55, 2000, 110, 220) +
                     container("shop", "web", "proxy", 8, 600, 0, 5) +
                     container("shop", "db", "db", 1, 9000) +
                     container("", "", "/system.slice/ssh.service", 199, 1));
  CHECK(*node.cpu("web") == Approx(0.6));  // (5 + 1) / 10
  CHECK(*node.memory("web") == 2600);
  CHECK(*node.io("web") == Approx(30));  // (100 + 200) / 10
  CHECK(*node.cpu("db") == 0);
  CHECK(*node.io("db") == 0);
}

TEST_CASE("pods of one name in two namespaces are two") {
  Node node;
  for (int t = 0; t <= 1; ++t) {
    node.page(t,
              container("a", "web", "app", t * 0.25, 1) + container("b", "web", "app", t * 0.5, 2));
  }
  CHECK(*node.value("optipod:pod_cpu_usage:mean_1m", "web", "a") == Approx(0.25));
  CHECK(*node.value("optipod:pod_cpu_usage:mean_1m", "web", "b") == Approx(0.5));
}

TEST_CASE("the window is the last minute, less at most the distance of two anchors") {
  Node node;
  double used = 0;
  for (int t = 0; t <= 120; ++t) {  // idle for 90 s, then one CPU busy
    node.page(t, container("shop", "web", "app", used, 1));
    used += t >= 90 ? 1 : 0;
  }
  CHECK(*node.cpu("web") == Approx(30.0 / 60));  // the oldest anchor is of 60 s
  node.page(125, container("shop", "web", "app", used, 1));
  CHECK(*node.cpu("web") == Approx(31.0 / 55));  // that of 70 s
  node.page(200, container("shop", "web", "app", used, 1));
  CHECK_FALSE(node.cpu("web").has_value());  // the window holds one sample
  node.page(201, container("shop", "web", "app", used + 0.5, 1));
  CHECK(*node.cpu("web") == Approx(0.5));
}

TEST_CASE("the same time is the same sample; one that goes back starts anew") {
  Node node;
  node.page(10, container("shop", "web", "app", 1, 1));
  node.page(11, container("shop", "web", "app", 2, 1));
  node.page(11, container("shop", "web", "app", 9, 1));
  CHECK(*node.cpu("web") == Approx(1));
  node.page(5, container("shop", "web", "app", 3, 1));
  CHECK_FALSE(node.cpu("web").has_value());
  node.page(6, container("shop", "web", "app", 3.5, 1));
  CHECK(*node.cpu("web") == Approx(0.5));
}

TEST_CASE("a container that restarts began at zero; one that joins adds from its second sample") {
  Node node;
  node.page(0, container("shop", "web", "app", 100, 1));
  node.page(10, container("shop", "web", "app", 102, 1));
  node.page(20, container("shop", "web", "app", 3, 1));  // restarted, and has used 3 s
  CHECK(*node.cpu("web") == Approx(5.0 / 20));
  node.page(30, container("shop", "web", "app", 3, 1) + container("shop", "web", "side", 1e6, 1));
  CHECK(*node.cpu("web") == Approx(5.0 / 30));
  node.page(40,
            container("shop", "web", "app", 3, 1) + container("shop", "web", "side", 1e6 + 4, 1));
  CHECK(*node.cpu("web") == Approx(9.0 / 40));
  node.page(50, container("shop", "web", "app", 4, 1));  // and goes: it takes nothing with it
  CHECK(*node.cpu("web") == Approx(10.0 / 50));
}

TEST_CASE("pods come and go with their series, and the others keep their windows") {
  Node node;
  node.page(0, container("shop", "b", "app", 10, 1));
  node.page(10, container("shop", "b", "app", 15, 1));
  node.page(20, container("shop", "a", "app", 7, 1) + container("shop", "b", "app", 20, 1) +
                    container("shop", "c", "app", 7, 1));
  CHECK(*node.cpu("b") == Approx(0.5));
  CHECK_FALSE(node.cpu("a").has_value());
  node.page(30, container("shop", "a", "app", 8, 1) + container("shop", "c", "app", 9, 1));
  CHECK(node.series() == 6);
  CHECK_FALSE(node.memory("b").has_value());
  CHECK(*node.cpu("a") == Approx(0.1));
  CHECK(*node.cpu("c") == Approx(0.2));
  node.page(40, container("shop", "b", "app", 30, 1));  // another life of that name
  CHECK_FALSE(node.cpu("b").has_value());
  node.page(50, "");
  CHECK(node.series() == 0);
}

TEST_CASE("what the page lacks is absent") {
  const std::string cpu_only =
      "optipod_container_cpu_usage_seconds_total{{namespace=\"shop\",pod=\"web\",container=\"app\"}"
      "} "
      "{}\n";
  Node node;
  node.page(0, fmt::format(fmt::runtime(cpu_only), "1"));
  node.page(1, fmt::format(fmt::runtime(cpu_only), "2"));
  CHECK(*node.cpu("web") == Approx(1));
  CHECK_FALSE(node.memory("web").has_value());
  CHECK_FALSE(node.io("web").has_value());
  node.page(2, fmt::format(fmt::runtime(cpu_only), "NaN"));
  CHECK_FALSE(node.cpu("web").has_value());
}

TEST_CASE("labels that the target has itself stand on the page under exported_") {
  Node node({{"namespace", "monitoring"}, {"pod", "exporter-x"}});
  for (int t = 0; t <= 1; ++t) {
    node.page(t, container("shop", "web", "app", t, 1) + container("", "", "/init.scope", t, 1));
  }
  CHECK(*node.cpu("web") == Approx(1));
  CHECK(node.series() == 3);
}

TEST_CASE("a hostile page does not make it grow") {
  std::string body;
  for (std::size_t i = 0; i < PodUsage::kMaxPods + 50; ++i) {
    body += fmt::format(
        "optipod_container_memory_usage_bytes{{namespace=\"x\",pod=\"p{}\",container=\"c\"}} 1\n",
        i);
  }
  Node node;
  node.page(0, body);
  CHECK(node.series() == 3 * PodUsage::kMaxPods);
}
