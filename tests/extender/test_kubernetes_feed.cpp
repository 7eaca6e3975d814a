// SPDX-License-Identifier: Apache-2.0
// Pods and nodes of an API server that says more than any cluster has.
#include "extender/feeds/kubernetes.hpp"
#include "tests/common/kube/support.hpp"

namespace optipod::extender {
namespace {

using kube::test::contains;
using kube::test::eventually;

std::string bound_pod(int i) {
  const std::string n = std::to_string(i);
  return R"({"metadata":{"name":"p-)" + n + R"(","uid":"u-)" + n +
         R"(","resourceVersion":"2"},"spec":{"nodeName":"n"}})";
}

std::string node(int i) {
  return R"({"metadata":{"name":"n-)" + std::to_string(i) + R"(","resourceVersion":"2"}})";
}

/// Lists three of each; as long as it lies, each watch adds a thousand more.
struct Liar {
  Liar() {
    api.on_list = [](auto& raw, const std::string& line) {
      const bool pods = contains(line, "/pods");
      std::vector<std::string> items;
      for (int i = 0; i < 3; ++i) items.push_back(pods ? bound_pod(i) : node(i));
      raw.send(kube::test::sized(kube::test::list(items, "1")));
    };
    api.on_watch = [this](auto& raw, const std::string& line) {
      raw.send(kube::test::kWatchHead);
      const bool pods = contains(line, "/pods");
      for (int i = 3; i < 1'003 && lies; ++i) {
        raw.send(kube::test::chunk(kube::test::event("ADDED", pods ? bound_pod(i) : node(i))));
        most_pods = std::max<std::size_t>(most_pods, state.pods());
        most_nodes = std::max<std::size_t>(most_nodes, state.nodes());
      }
      api.hold(raw);
    };
  }

  std::atomic<bool> lies{true};
  std::atomic<std::size_t> most_pods{0}, most_nodes{0};
  Ledger ledger;
  Workloads workloads;
  ClusterState state{ledger, workloads, [] { return std::int64_t{1}; }};
  kube::test::Api api;
};

TEST_CASE("an API server that adds without end fills no memory, and is believed when it stops") {
  Liar liar;
  const auto client = kube::test::client_for(liar.api.url());
  const KubernetesFeed feed(*client, wire::ResourceNames(), liar.state, {.pods = 10, .nodes = 5});
  REQUIRE(eventually([&] { return feed.pods().failures > 0 && feed.nodes().failures > 0; }));
  CHECK(contains(feed.pods().last_error, "more than 20 pods; all are forgotten"));
  CHECK(contains(feed.nodes().last_error, "more than 10 nodes; all are forgotten"));
  liar.lies = false;
  REQUIRE(eventually([&] {
    return liar.state.facts().complete && liar.state.pods() == 3 && liar.state.nodes() == 3;
  }));
  CHECK(liar.most_pods <= 21);
  CHECK(liar.most_nodes <= 11);
}

}  // namespace
}  // namespace optipod::extender
