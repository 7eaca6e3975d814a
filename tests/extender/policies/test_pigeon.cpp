// SPDX-License-Identifier: Apache-2.0
// Golden values: kube-safe-scheduler's own C library, run; docs/policies/pigeon.md
#include "extender/policies/pigeon/pigeon.hpp"

#include <cmath>
#include <random>

#include "tests/extender/policies/pigeon_model.hpp"
#include "tests/extender/questions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using test::Asked;
using test::Node;

constexpr double kMi = 1024.0 * 1024;
const Pigeon kBalance({.objective = PigeonObjective::kLoadBalance});
const Pigeon kConsolidate({.objective = PigeonObjective::kConsolidate});
const Pigeon kBinpack({.objective = PigeonObjective::kABinpack});

/// In millicores and MiB.
Node node(double used_cpu, double used_memory, double cpu = 4000, double memory = 8192) {
  return {.value = {},
          .facts = test::facts({cpu / 1000, memory * kMi}, {used_cpu / 1000, used_memory * kMi})};
}

wire::Pod pod(double cpu, double memory) {
  return test::make_pod(cpu / 1000, memory * kMi);
}

std::shared_ptr<Snapshot> golden_cluster(std::initializer_list<std::pair<double, double>> history) {
  auto snapshot = test::make_snapshot({node(2000, 1024), node(1000, 4096), node(500, 1024)});
  for (const auto& [cpu, memory] : history) snapshot->demand.add(pod(cpu, memory).requests);
  return snapshot;
}

void check(const Asked& asked, const std::array<double, 3>& values,
           const std::array<double, 3>& answers) {
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(asked.term("objective", i) == Approx(values[i]).margin(5e-7));
    CHECK(std::round(10 * asked.judgement.score[i]) == answers[i]);
  }
}

TEST_CASE("pigeon: kube-safe-scheduler's objectives and scores") {
  const auto cluster = golden_cluster({{500, 512}, {1000, 4096}});
  const auto third = pod(500, 1024);
  check(Asked(kBalance, third, cluster), {.212459, .155902, .117851}, {1, 6, 10});
  check(Asked(kConsolidate, third, cluster), {.536488, .609688, .750000}, {10, 7, 1});
  const Asked binpack(kBinpack, third, cluster);
  check(binpack, {.233735, .195289, .519049}, {9, 10, 1});
  // Of the two pods before and the one to be placed; without it, .641026.
  CHECK(binpack.term("demand_variation", 0) == Approx(.672837).margin(5e-7));
  CHECK(binpack.term("utilization", 1) == Approx(0.25));
  CHECK(binpack.term("utilization_after", 1) == Approx(0.375));

  const Asked first(kBinpack, pod(500, 512), golden_cluster({}));
  check(first, {.427057, .450894, .197170}, {2, 1, 10});
  CHECK(first.term("demand_variation", 0) == 0);
  CHECK(kBinpack.absolute());
  CHECK(kBinpack.needs().empty());
}

TEST_CASE(
    "pigeon: every objective is what its definition says, on any cluster and any candidates") {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> share(0, 1);
  std::size_t compared = 0;
  for (std::uint32_t round = 0; round < 60; ++round) {
    const std::size_t resources = 1 + round % 5;
    const bool with_bookings = round % 2 == 1;
    std::vector<Node> nodes(30);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      NodeFacts& f = nodes[i].facts;
      f.known = i % 11 != 5;
      for (std::size_t r = 0; r < 5; ++r) {
        const bool lacking = r == 4 && i % 3 == 0;
        f.allocatable[r] = lacking ? 0 : round % 3 == 0 ? 8 : 1 + 15 * share(random);
        f.requested[r] = f.allocatable[r] * share(random);
      }
    }
    auto snapshot = test::make_snapshot(nodes);
    const auto random_pod = [&] {
      wire::Pod p;
      for (std::size_t r = 0; r < 5; ++r) p.requests[r] = 0.2 + 2 * share(random);
      if (round % 4 == 0) p.requests[4] = 0;
      return p;
    };
    for (std::uint32_t i = 0; i < round; ++i) snapshot->demand.add(random_pod().requests);
    std::vector<std::uint32_t> candidates;
    std::vector<Booked> booked;
    for (std::uint32_t i = 0; i < nodes.size(); i += 1 + round % 2) {
      candidates.push_back(i);
      if (!with_bookings) continue;
      booked.emplace_back();
      for (std::size_t r = 0; i % 3 == 0 && r < 5; ++r) {
        booked.back().requests[r] = share(random);
      }
    }
    std::vector<std::size_t> looked_at{4, 0, 1, 2, 3};  // the first is what some nodes lack
    if (round % 3 != 0) looked_at = {0, 1, 2, 3, 4};
    looked_at.resize(resources);
    const auto p = random_pod();
    for (const auto objective : {PigeonObjective::kLoadBalance, PigeonObjective::kConsolidate,
                                 PigeonObjective::kABinpack}) {
      const Pigeon policy({objective, looked_at});
      const Asked asked(policy, p, snapshot, candidates, booked);
      const test::PigeonModel model(objective, looked_at, *snapshot, p, candidates, booked);
      for (std::size_t i = 0; i < candidates.size(); ++i) {
        INFO("round " << round << ", objective " << static_cast<int>(objective) << ", candidate "
                      << i);
        const double expected = model.value(i);
        const double value = asked.term("objective", i);
        REQUIRE(std::isnan(value) == std::isnan(expected));
        if (std::isnan(expected)) continue;
        REQUIRE(value == Approx(expected).margin(1e-9));
        ++compared;
      }
    }
  }
  CHECK(compared > 1500);
}

TEST_CASE("pigeon: the statistics are the cluster's, not the candidates'") {
  std::vector<Node> nodes{node(2000, 1024), node(1000, 4096), node(500, 1024)};
  const Asked all(kBalance, pod(500, 1024), golden_cluster({}));
  const Asked some(kBalance, pod(500, 1024), golden_cluster({}), {0, 2});
  CHECK(some.term("objective", 0) == Approx(all.term("objective", 0)));
  CHECK(some.term("objective", 1) == Approx(all.term("objective", 2)));
}

TEST_CASE("pigeon: where the pod does not fit is worst, what Kubernetes has not told no opinion") {
  Node unknown;
  const std::vector<Node> nodes{node(0, 0), node(3600, 0), node(0, 7600), unknown};
  for (const Pigeon* policy : {&kBalance, &kConsolidate, &kBinpack}) {
    const Asked asked(*policy, pod(500, 1024), nodes);
    CHECK(asked.judgement.score[0] == 1);
    CHECK(asked.judgement.score[1] == 0);
    CHECK(asked.judgement.score[2] == 0);
    CHECK(std::isnan(asked.judgement.score[3]));
  }
}

TEST_CASE("pigeon: a pod that fits to the last byte fits, though amounts are sums") {
  const Node full = node(200, 0, 300, 1024);
  REQUIRE(full.facts.allocatable[wire::kCpu] - full.facts.requested[wire::kCpu] < 0.1);
  const Asked asked(kBalance, pod(100, 1024), std::vector<Node>{full, node(990, 0)});
  CHECK(asked.judgement.score[0] > 0);
}

TEST_CASE("pigeon: what is on its way to a node counts as requested") {
  const auto cluster = golden_cluster({});
  std::vector<Booked> booked(3);
  booked[2].requests = pod(1500, 0).requests;
  const auto there = test::make_snapshot({node(2000, 1024), node(1000, 4096), node(2000, 1024)});
  for (const Pigeon* policy : {&kBalance, &kConsolidate, &kBinpack}) {
    const Asked asked(*policy, pod(500, 1024), cluster, {}, booked);
    const Asked expected(*policy, pod(500, 1024), there);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(asked.term("objective", i) == Approx(expected.term("objective", i)));
    }
  }
  booked[2].requests = pod(3400, 0).requests;
  CHECK(Asked(kBalance, pod(500, 1024), cluster, {}, booked).judgement.score[2] == 0);
}

TEST_CASE("pigeon: nodes that leave the cluster alike are all best") {
  const std::vector<Node> nodes(50, node(1300, 2700));
  for (const Pigeon* policy : {&kBalance, &kConsolidate, &kBinpack}) {
    const Asked asked(*policy, pod(500, 1024), nodes);
    CHECK(asked.judgement.score == std::vector<double>(50, 1));
  }
}

TEST_CASE("pigeon: a pod that asks for nothing still counts") {
  const wire::Resources demand = demand_of({});
  CHECK(demand[wire::kCpu] == 0.010);
  CHECK(demand[wire::kMemory] == 16 * kMi);
  const auto pod_of_2 = pod(2000, 2048).requests;
  CHECK(demand_of(pod_of_2) == pod_of_2);
  const Asked asked(kBalance, wire::Pod{}, golden_cluster({}));
  CHECK(asked.term("utilization_after", 0) == Approx(0.5 + 0.01 / 4));
}

TEST_CASE("pigeon: extended resources count as they were asked for, in their own units") {
  const std::size_t gpu = wire::kFirstExtended;
  const auto with_gpus = [&](double has, double used) {
    Node n = node(1000, 1024);
    n.facts.allocatable[gpu] = has;
    n.facts.requested[gpu] = used;
    n.facts.allocatable[wire::kEphemeralStorage] = 100 * 1024 * kMi;
    return n;
  };
  const Pigeon policy({PigeonObjective::kLoadBalance,
                       {gpu, wire::kCpu, wire::kMemory, wire::kPods, wire::kEphemeralStorage}});
  std::vector<Node> nodes{with_gpus(8, 2), with_gpus(8, 6), with_gpus(8, 7.5), with_gpus(0, 0)};
  for (Node& n : nodes) n.facts.allocatable[wire::kPods] = 110;
  auto asks = pod(500, 1024);
  asks.requests[gpu] = 1;                                    // was lost in the original
  asks.requests[wire::kEphemeralStorage] = 10 * 1024 * kMi;  // bytes were compared with GiB there
  const Asked asked(policy, asks, nodes);
  CHECK(asked.judgement.score == std::vector<double>{1, 0.1, 0, 0});
  CHECK(asked.term("utilization_after", 0) == Approx(0.375));

  const Asked none(policy, pod(500, 1024), nodes);  // asks for no GPU: it may go anywhere
  CHECK(none.judgement.score == std::vector<double>{1, 1, 1, 1});
}

TEST_CASE("pigeon: bad parameters are named") {
  CHECK(problem(PigeonParameters{}).empty());
  CHECK(problem({PigeonObjective::kABinpack, {}}).find("NUM_RESOURCES") != std::string::npos);
  CHECK_FALSE(problem({PigeonObjective::kABinpack, {0, 1, 2, 3, 4, 5}}).empty());
  CHECK(problem({PigeonObjective::kABinpack, {0, 8}}).find("resource 2") != std::string::npos);
  CHECK(problem({PigeonObjective::kABinpack, {1, 0, 1}}).find("1 and 3") != std::string::npos);
  CHECK(pigeon_objective("CONSOLIDATE") == PigeonObjective::kConsolidate);
  CHECK(pigeon_objective("LOAD_BALANCE") == PigeonObjective::kLoadBalance);
  CHECK(pigeon_objective("A_BINPACK") == PigeonObjective::kABinpack);
  const auto unknown = pigeon_objective("SPREAD");  // A_BINPACK in the original
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().find("LOAD_BALANCE, CONSOLIDATE or A_BINPACK") != std::string::npos);
}

}  // namespace
}  // namespace optipod::extender
