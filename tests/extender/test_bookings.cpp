// SPDX-License-Identifier: Apache-2.0
// What is on its way to nodes, what Kubernetes says of them, and what workloads were seen to use.
#include "extender/cluster/cluster_state.hpp"
#include "extender/feeds/profiles.hpp"
#include "tests/extender/support.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;
constexpr Usage kOne{.cpu = 1, .memory = 1e9};

wire::Resources requests(double cpu, double memory) {
  wire::Resources r;
  r.amount = {cpu, memory, 1};
  return r;
}

std::shared_ptr<const Measurements> measured_at(std::int64_t at) {
  return test::measurements({{"a", {{Signal::kCpus, 4}}}, {"b", {{Signal::kCpus, 4}}}}, at);
}

/// What is booked on a row.
Booked at(const Ledger& ledger, const NodeTable& table, std::string_view node) {
  const std::vector<std::uint32_t> rows{table.find(node)};
  std::vector<std::uint32_t> index;
  std::vector<Booked> bookings;
  ledger.read(table, rows, "", index, bookings);
  return index.empty() ? Booked{} : bookings[index[0]];
}

using Names = std::vector<std::string_view>;

TEST_CASE("a decision books its share on each of the best, until the pod is seen bound") {
  Ledger ledger;
  const auto measured = measured_at(kNow);
  const NodeTable& table = *measured->nodes;
  ledger.decided("u", Names{"a", "b"}, kOne, requests(2, 2e9), kNow);
  CHECK(at(ledger, table, "a").usage.cpu == Approx(0.5));
  CHECK(at(ledger, table, "b").requests.memory() == Approx(1e9));
  CHECK(at(ledger, table, "b").undecided == Approx(0.5));
  ledger.decided("u", Names{"a"}, kOne, requests(2, 2e9), kNow);  // asked again: not twice
  CHECK(at(ledger, table, "a").usage.cpu == Approx(1));
  const std::vector<std::uint32_t> rows{table.find("a")};
  std::vector<std::uint32_t> index;
  std::vector<Booked> bookings;
  ledger.read(table, rows, "u", index, bookings);  // its own earlier booking is not in its way
  CHECK(bookings.at(index.at(0)).usage.cpu == Approx(0));
  CHECK(bookings.at(index.at(0)).undecided == Approx(0));
  CHECK(at(ledger, table, "b").usage.cpu == 0);
  ledger.bound("u", "b", kOne, requests(2, 2e9), 0, kNow);  // the scheduler chose otherwise
  CHECK(at(ledger, table, "a").usage.cpu == 0);
  CHECK(at(ledger, table, "b").usage.cpu == Approx(1));
  CHECK(at(ledger, table, "b").undecided == 0);
  ledger.decided("u", Names{"a"}, kOne, requests(2, 2e9), kNow);  // a late request changes nothing
  CHECK(at(ledger, table, "a").usage.cpu == 0);
  ledger.gone("u");
  CHECK(at(ledger, table, "b").usage.cpu == 0);
  CHECK(ledger.pods() == 0);
  ledger.gone("u");
}

TEST_CASE("a share of what nobody knows is booked under no name") {
  Ledger ledger;
  const auto measured = measured_at(kNow);
  ledger.decided("u", Names{"a", "", ""}, kOne, requests(3, 3e9), kNow);
  CHECK(at(ledger, *measured->nodes, "a").usage.cpu == Approx(1.0 / 3));
  CHECK(at(ledger, *measured->nodes, "b").usage.cpu == 0);
  ledger.settle(*measured, kNow);
  CHECK(at(ledger, *measured->nodes, "a").requests.cpu() == Approx(1));
  ledger.gone("u");
  CHECK(at(ledger, *measured->nodes, "a").usage.cpu == Approx(0));
}

TEST_CASE("a running pod fades while the node's own measurements come to contain it") {
  Ledger ledger;
  ledger.bound("u", "a", kOne, requests(1, 1e9), 0, kNow);
  ledger.settle(*measured_at(kNow + 60'000), kNow + 60'000);  // it does not run: nothing to measure
  CHECK(at(ledger, *measured_at(kNow)->nodes, "a").usage.cpu == Approx(1));
  ledger.bound("u", "a", kOne, requests(1, 1e9), kNow + 61'000, kNow + 61'500);
  for (const auto& [measured, left] : std::vector<std::pair<std::int64_t, double>>{
           {60'000, 1}, {61'000, 1}, {64'000, 0.8}, {68'500, 0.5}, {75'900, 0.00667}}) {
    const auto m = measured_at(kNow + measured);
    ledger.settle(*m, kNow + 76'000);
    INFO(measured);
    CHECK(at(ledger, *m->nodes, "a").usage.cpu == Approx(left).epsilon(0.01));
  }
  ledger.settle(*measured_at(kNow + 76'000), kNow + 76'000);
  CHECK(ledger.pods() == 0);
}

TEST_CASE("with stale measurements a booking stays, but not for ever") {
  const LedgerOptions options;
  Ledger ledger(options);
  const auto stale = measured_at(kNow);
  ledger.bound("u", "a", kOne, requests(1, 1e9), kNow + 1'000, kNow + 1'000);
  ledger.settle(*stale, kNow + 100'000);
  CHECK(at(ledger, *stale->nodes, "a").usage.cpu == Approx(1));
  ledger.settle(*stale, kNow + 1'001 + options.bound_ms);
  CHECK(ledger.pods() == 0);
  ledger.decided("v", Names{"a"}, kOne, requests(1, 1e9), kNow);
  ledger.settle(*stale, kNow + options.decision_ms);
  CHECK(ledger.pods() == 1);
  ledger.settle(*stale, kNow + options.decision_ms + 1);
  CHECK(ledger.pods() == 0);
}

TEST_CASE("requests count as booked until the facts contain them") {
  Ledger ledger;
  const auto measured = measured_at(kNow);
  ledger.bound("u", "a", kOne, requests(2, 2e9), 0, kNow);
  const std::uint64_t seen = ledger.bindings();
  ledger.bound("v", "a", kOne, requests(3, 3e9), 0, kNow);
  CHECK(at(ledger, *measured->nodes, "a").requests.cpu() == Approx(5));
  ledger.facts_include(seen);
  CHECK(at(ledger, *measured->nodes, "a").requests.cpu() == Approx(3));
  CHECK(at(ledger, *measured->nodes, "a").usage.cpu == Approx(2));
  ledger.settle(*measured, kNow);
  CHECK(at(ledger, *measured->nodes, "a").requests.cpu() == Approx(3));
}

TEST_CASE("the ledger is bounded, in pods and in shares; rows of another table are found anew") {
  LedgerOptions options;
  options.most_pods = 3;
  options.most_shares = 2;
  Ledger ledger(options);
  const auto measured = measured_at(kNow);
  ledger.decided("u", Names{"a", "b", "c"}, kOne, requests(1, 1), kNow);  // too many equals
  ledger.decided("", Names{"a"}, kOne, requests(1, 1), kNow);             // nobody
  CHECK(ledger.pods() == 0);
  for (const std::string_view uid : {"1", "2", "3", "4"}) {
    ledger.decided(uid, Names{"a"}, kOne, requests(1, 1), kNow);
  }
  CHECK(ledger.pods() == 3);
  CHECK(ledger.refused() == 1);
  ledger.decided("1", Names{"b"}, kOne, requests(1, 1), kNow);  // one that has its place
  CHECK(at(ledger, *measured->nodes, "a").usage.cpu == Approx(2));
  const auto more = test::measurements(
      {{"0", {{Signal::kCpus, 4}}}, {"a", {{Signal::kCpus, 4}}}, {"b", {{Signal::kCpus, 4}}}},
      kNow);
  CHECK(at(ledger, *more->nodes, "a").usage.cpu == Approx(2));
  CHECK(at(ledger, *more->nodes, "b").usage.cpu == Approx(1));
  CHECK(at(ledger, *more->nodes, "0").usage.cpu == 0);
  ledger.assigned("2", "b", kNow);
  CHECK(at(ledger, *more->nodes, "b").usage.cpu == Approx(2));
  ledger.assigned("nobody", "b", kNow);
  CHECK(ledger.pods() == 3);
}

TEST_CASE("nodes that are booked first after a table was asked for are found in it") {
  Ledger ledger;
  const auto one =
      test::measurements({{"a", {{Signal::kCpus, 4}}}, {"b", {{Signal::kCpus, 4}}}}, kNow);
  const auto other =
      test::measurements({{"b", {{Signal::kCpus, 4}}}, {"c", {{Signal::kCpus, 4}}}}, kNow);
  ledger.decided("1", Names{"a"}, kOne, requests(1, 1), kNow);
  CHECK(at(ledger, *one->nodes, "a").usage.cpu == 1);
  CHECK(at(ledger, *one->nodes, "b").usage.cpu == 0);
  ledger.decided("2", Names{"b"}, kOne, requests(1, 1), kNow);
  ledger.bound("3", "c", kOne, requests(1, 1), 0, kNow);  // which this table does not have
  CHECK(at(ledger, *one->nodes, "a").usage.cpu == 1);
  CHECK(at(ledger, *one->nodes, "b").usage.cpu == 1);
  CHECK(at(ledger, *other->nodes, "b").usage.cpu == 1);
  CHECK(at(ledger, *other->nodes, "c").usage.cpu == 1);
  ledger.gone("2");
  ledger.bound("4", "d", kOne, requests(1, 1), 0, kNow);
  ledger.settle(*one, kNow);  // ids are given anew
  CHECK(at(ledger, *one->nodes, "a").usage.cpu == 1);
  CHECK(at(ledger, *one->nodes, "b").usage.cpu == 0);
  CHECK(at(ledger, *other->nodes, "c").usage.cpu == 1);
}

wire::Pod pod(std::string_view uid, std::string_view node, double cpu = 1) {
  wire::Pod p;
  p.name = uid;
  p.name_space = "ns";
  p.uid = uid;
  p.node_name = node;
  p.phase = "Running";
  p.owner_kind = "StatefulSet";
  p.owner_name = "db";
  p.requests = requests(cpu, 1e9);
  return p;
}

wire::NodeObject node(std::string_view name, double cpus) {
  wire::NodeObject n{.name = name, .congestion = kMissing};
  n.allocatable = requests(cpus, 16e9);
  return n;
}

struct Cluster {
  Ledger ledger;
  Workloads workloads;
  std::int64_t now = kNow;
  std::vector<std::string> seen_bound;
  ClusterState state{ledger, workloads, [this] { return now; },
                     [this](std::string_view uid, std::string_view to) {
                       seen_bound.push_back(std::string(uid) + "@" + std::string(to));
                     }};

  void list(const std::vector<wire::NodeObject>& nodes, const std::vector<wire::Pod>& pods) {
    state.begin_nodes();
    for (const auto& n : nodes) state.node(n);
    state.end_nodes();
    state.begin_pods();
    for (const auto& p : pods) state.pod(p);
    state.end_pods();
  }
  NodeFacts facts(std::string_view name) {
    const ClusterFacts all = state.facts();
    for (std::size_t i = 0; i < all.names->size(); ++i) {
      if ((*all.names)[i] == name) return all.facts[i];
    }
    return {};
  }
};

TEST_CASE("requests of bound pods are summed per node, whatever the order of events") {
  Cluster c;
  CHECK_FALSE(c.state.facts().complete);
  c.state.begin_pods();
  c.state.pod(pod("u1", "a"));  // before its node is known
  c.state.pod(pod("u2", "a", 0.5));
  c.state.end_pods();
  CHECK(c.state.facts().names->empty());
  c.state.begin_nodes();
  c.state.node(node("a", 4));
  c.state.node(node("b", 8));
  c.state.end_nodes();
  CHECK(c.state.facts().complete);
  CHECK(c.facts("a").requested.cpu() == Approx(1.5));
  CHECK(c.facts("a").requested[wire::kPods] == 2);
  CHECK(c.facts("a").allocatable.cpu() == 4);
  CHECK(c.facts("b").requested.cpu() == 0);

  c.state.pod(pod("u1", "a", 2));  // resized in place
  CHECK(c.facts("a").requested.cpu() == Approx(2.5));
  wire::Pod ended = pod("u1", "a", 2);
  ended.phase = "Succeeded";
  c.state.pod(ended);
  CHECK(c.facts("a").requested.cpu() == Approx(0.5));
  c.state.pod_gone("u2");
  c.state.pod_gone("u2");
  CHECK(c.facts("a").requested.cpu() == 0);
  CHECK(c.state.pods() == 0);
  CHECK(c.seen_bound == std::vector<std::string>{"u1@a", "u2@a"});
}

TEST_CASE("what a new list does not have is gone; what a broken one did not reach is not") {
  Cluster c;
  c.list({node("a", 4), node("b", 4)}, {pod("u1", "a"), pod("u2", "b")});
  const auto names = c.state.facts().names;
  c.state.begin_pods();
  c.state.pod(pod("u1", "a"));  // abandoned here
  CHECK(c.state.pods() == 2);
  CHECK(c.state.facts().names == names);  // the same vector: no node came or went
  c.list({node("b", 4), node("c", 4)}, {pod("u2", "b")});
  CHECK(c.state.pods() == 1);
  CHECK(c.state.nodes() == 2);
  CHECK(*c.state.facts().names == std::vector<std::string>{"b", "c"});
  c.state.node_gone("b");
  CHECK(*c.state.facts().names == std::vector<std::string>{"c"});
  CHECK(c.state.bound_to("u2") == "b");  // the pod is still said to be there
  c.state.node(node("b", 2));
  CHECK(c.facts("b").requested.cpu() == 1);
}

TEST_CASE("a kubelet's heartbeat is no change") {
  Cluster c;
  c.list({node("a", 4)}, {});
  const std::uint64_t before = c.state.version();
  c.state.node(node("a", 4));
  CHECK(c.state.version() == before);
  wire::NodeObject congested = node("a", 4);
  congested.congestion = 25;
  c.state.node(congested);
  CHECK(c.state.version() != before);
  CHECK(c.facts("a").congestion == 25);
}

TEST_CASE("pods that have run for long are not booked; young ones by what their workload used") {
  Cluster c;
  c.workloads.learn(Workloads::key("ns/StatefulSet/db"), {.cpu = 0.25, .memory = 5e8});
  wire::Pod old = pod("old", "a");
  old.running_since_ms = kNow - 3'600'000;
  wire::Pod young = pod("young", "a");
  young.running_since_ms = kNow - 1'000;
  c.list({node("a", 4)}, {old, young});
  CHECK(c.ledger.pods() == 1);
  const auto measured = measured_at(kNow);
  CHECK(at(c.ledger, *measured->nodes, "a").usage.cpu == Approx(0.25));
  CHECK(at(c.ledger, *measured->nodes, "a").requests.cpu() == Approx(1));
  CHECK(c.state.facts().demand.pods == 2);
  wire::Pod silent = pod("silent", "a", 0);
  silent.requests = {};
  c.state.pod(silent);
  c.state.pod(silent);  // told again: still one pod
  const DemandMoments demand = c.state.facts().demand;
  CHECK(demand.pods == 3);
  CHECK(demand.mean[wire::kCpu] == Approx((1 + 1 + 0.010) / 3));
}

TEST_CASE("workloads are learned from what their pods use, and forgotten when none is left") {
  Cluster c;
  c.list({node("a", 4)}, {pod("p1", "a"), pod("p2", "a")});
  const auto text = [](const char* cpu1, const char* cpu2) {
    return std::string("optipod:pod_cpu_usage:mean_1m{namespace=\"ns\",pod=\"p1\"} ") + cpu1 +
           "\noptipod:pod_cpu_usage:mean_1m{namespace=\"ns\",pod=\"p2\"} " + cpu2 +
           "\noptipod:pod_cpu_usage:mean_1m{namespace=\"ns\",pod=\"unknown\"} 9\n"
           "optipod:pod_memory_bytes:last{namespace=\"ns\",pod=\"p1\"} 100\n"
           "optipod:pod_memory_bytes:last{namespace=\"ns\",pod=\"p2\"} 300\n";
  };
  REQUIRE(learn(text("0.2", "0.4"), c.state, c.workloads) == 1U);
  const std::uint64_t db = Workloads::key("ns/StatefulSet/db");
  REQUIRE(c.workloads.find(db));
  CHECK(c.workloads.find(db)->cpu == Approx(0.3));
  CHECK(c.workloads.find(db)->memory == Approx(200));
  REQUIRE(learn(text("1.2", "NaN"), c.state, c.workloads) == 1U);
  CHECK(c.workloads.find(db)->cpu == Approx(0.3 + Workloads::kLearning * 0.9));
  CHECK(c.workloads.expect(db, requests(7, 7)).cpu == Approx(0.57));
  CHECK(c.workloads.expect(1, requests(7, 7)).cpu == 7);
  CHECK(c.workloads.expect(0, {}).cpu == kUnstated.cpu);
  CHECK(c.workloads.expect(0, {}).memory == kUnstated.memory);
  CHECK_FALSE(learn("broken{", c.state, c.workloads));
  for (std::uint64_t i = 0; i <= Workloads::kForgottenAfter; ++i) c.workloads.end_round();
  CHECK_FALSE(c.workloads.find(db));
}

TEST_CASE("demand moments: plain means first, then a memory of a hundred pods") {
  DemandMoments m;
  m.add(requests(1, 10));
  m.add(requests(3, 30));
  CHECK(m.mean[wire::kCpu] == Approx(2));
  CHECK(m.second[wire::kCpu][wire::kMemory] == Approx(50));
  for (int i = 0; i < 98; ++i) m.add(requests(2, 20));
  CHECK(m.mean[wire::kCpu] == Approx(2));
  m.add(requests(102, 20));
  CHECK(m.mean[wire::kCpu] == Approx(3));
}

}  // namespace
}  // namespace optipod::extender
