// SPDX-License-Identifier: Apache-2.0
// Golden values: kube-safe-scheduler's own code, run; docs/policies/safe.md
#include "extender/policies/safe/risk.hpp"
#include "extender/policies/safe/safe.hpp"

#include <cmath>

#include "tests/extender/questions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using test::Asked;
using test::Node;

constexpr double kGi = 1024.0 * 1024 * 1024;
const SafeParameters kOverloadOnly{.balance_weight = 0};
const SafeParameters kBalanceOnly{.overload_weight = 0};

/// As the original's annotations say it: milliCPUs free of 4000, on average and deviation.
Node cpu_node(double mean_free, double deviation_free) {
  Node node;
  node.value = {{Signal::kCpuMean1h, 1 - mean_free / 4000},
                {Signal::kCpuStddev1h, deviation_free / 4000},
                {Signal::kCpus, 4}};
  return node;
}

Node with_memory(Node node, double mean, double deviation = 0.1) {
  node.value[Signal::kMemoryMean1h] = mean;
  node.value[Signal::kMemoryStddev1h] = deviation;
  node.value[Signal::kMemoryBytes] = 16 * kGi;
  return node;
}

struct Case {
  double mean_free, deviation_free, demand;  ///< milliCPUs
  double mean, risk;
  int overload, balance;  ///< scores of the original: cut off, and rounded
};

TEST_CASE("safe: kube-safe-scheduler's scores") {
  const std::vector<Case> cases{{2500, 400, 200, 0.425, 8.51049e-9, 9, 6},
                                {1000, 600, 200, 0.8, 0.3095837, 0, 4},
                                {600, 800, 200, 0.9, 0.7653117, 0, -1},
                                {600, 0, 0, 0.85, 0, 10, 6},
                                {0, 400, 0, 1, 1, 0, -1},
                                {1000, 400, 0, 0.75, 0.0454039, 6, -1},
                                {1600, 480, 0, 0.6, 0.001174972, 9, -1},
                                {300, 100, 0, 0.925, 0.8434925, 0, -1}};
  for (const Case& c : cases) {
    INFO("free " << c.mean_free << " ± " << c.deviation_free << ", demand " << c.demand);
    const auto snapshot = test::make_snapshot({cpu_node(c.mean_free, c.deviation_free)});
    const auto pod = test::make_pod(c.demand / 1000, 0);
    const Safe overload(kOverloadOnly), balance(kBalanceOnly);
    const Asked risk(overload, pod, snapshot), spread(balance, pod, snapshot);
    CHECK(risk.term("cpu_mean", 0) == Approx(c.mean));
    CHECK(overload_risk(risk.term("cpu_mean", 0), risk.term("cpu_deviation", 0), 0.9) ==
          Approx(c.risk).epsilon(2e-6));
    CHECK(std::sqrt(risk.term("cpu_risk", 0)) ==
          Approx(std::sqrt(c.risk)).margin(RiskTable::kMaxRootError));
    CHECK(std::trunc(10 * risk.judgement.score[0]) == c.overload);
    CHECK(std::trunc(10 * risk.term("overload", 0)) == c.overload);
    CHECK(risk.judgement.score[0] == Approx(risk.term("overload", 0)).margin(0.015));
    if (c.balance >= 0) CHECK(std::trunc(10 * spread.judgement.score[0] + 0.5) == c.balance);
  }
}

TEST_CASE("safe: the forecast counts by its weight") {
  Node node = cpu_node(2500, 400);
  node.value[Signal::kCpuForecast] = 0.75;  // 1000 free
  const Safe policy;
  const Asked asked(policy, test::make_pod(0.2, 0), std::vector<Node>{node});
  CHECK(asked.term("cpu_mean", 0) == Approx(0.5));
  CHECK(overload_risk(asked.term("cpu_mean", 0), asked.term("cpu_deviation", 0), 0.9) ==
        Approx(4.6757683e-7).epsilon(1e-6));
  CHECK(policy.needs().has(Signal::kCpuForecast));
  CHECK_FALSE(Safe({.forecast_weight = 0}).needs().has(Signal::kCpuForecast));
}

TEST_CASE("safe: scores are not cut off: a risk that hardly is one costs hardly anything") {
  const Safe policy(kOverloadOnly);
  const Asked asked(policy, test::make_pod(0.2, 0), std::vector<Node>{cpu_node(2500, 400)});
  CHECK(asked.judgement.score[0] > 0.999);  // the original: 9 of 10
  CHECK(asked.judgement.score[0] < 1);
}

TEST_CASE("safe: the weaker resource decides, and weights mix the two scores") {
  const Safe overload(kOverloadOnly), balance(kBalanceOnly);
  const Safe both({.overload_weight = 1, .balance_weight = 3});
  const std::vector<Node> nodes{with_memory(cpu_node(2500, 400), 0.75),
                                with_memory(cpu_node(1000, 400), 0.425)};
  const auto pod = test::make_pod(0, 0);
  const auto o = Asked(overload, pod, nodes).judgement.score;
  const auto b = Asked(balance, pod, nodes).judgement.score;
  const auto mixed = Asked(both, pod, nodes).judgement.score;
  CHECK(o[0] == Approx(1 - std::sqrt(0.0454039 / 0.3)).margin(0.015));
  CHECK(o[1] == Approx(o[0]));
  CHECK(b[0] == Approx(1 - (0.75 + std::sqrt(0.1)) / 2));
  CHECK(mixed[0] == Approx((o[0] + 3 * b[0]) / 4));
}

TEST_CASE("safe rejects nodes whose risk is more than tolerated, only where told to") {
  const std::vector<Node> nodes{cpu_node(2500, 400), cpu_node(1000, 600),
                                with_memory(cpu_node(2500, 400), 0.95), Node{}};
  const Safe quiet, strict({.reject = true});
  const auto pod = test::make_pod(0.2, 0);
  CHECK_FALSE(quiet.rejects());
  CHECK(Asked(quiet, pod, nodes).judgement.reject == std::vector<std::uint8_t>{0, 0, 0, 0});
  CHECK(strict.rejects());
  CHECK(Asked(strict, pod, nodes).judgement.reject == std::vector<std::uint8_t>{0, 1, 1, 0});
}

TEST_CASE("safe: tolerating nothing gives scores all the same") {
  const Safe policy({.percentile = 0, .balance_weight = 0});  // NaN in the original
  const std::vector<Node> nodes{cpu_node(600, 0), cpu_node(2500, 400), cpu_node(0, 0)};
  const Asked asked(policy, test::make_pod(0, 0), nodes);
  CHECK(asked.judgement.score == std::vector<double>{1, 0, 0});
}

TEST_CASE("safe: without statistics there is no opinion") {
  Node no_deviation = cpu_node(2500, 400);
  no_deviation.value.erase(Signal::kCpuStddev1h);  // 0 in the original: no risk at all
  Node no_capacity = cpu_node(2500, 400);
  no_capacity.value.erase(Signal::kCpus);
  const Safe policy;
  const Asked asked(policy, test::make_pod(), std::vector<Node>{Node{}, no_deviation, no_capacity});
  for (const double score : asked.judgement.score) CHECK(std::isnan(score));  // 0 in the original
}

TEST_CASE("safe: a resource not told of is the candidates' mean, never an advantage") {
  const Node calm = with_memory(cpu_node(3000, 400), 0.2);
  const Node full = with_memory(cpu_node(3000, 400), 0.95);
  const Node silent = cpu_node(3000, 400);
  const Safe policy(kBalanceOnly);
  const Asked asked(policy, test::make_pod(0, 0), std::vector<Node>{calm, full, silent});
  const auto& score = asked.judgement.score;
  CHECK(score[2] < score[0]);
  CHECK(score[2] > score[1]);
  const double memory_mean = 1 - ((0.2 + 0.95) / 2 + std::sqrt(0.1)) / 2;
  CHECK(score[2] == Approx(memory_mean));
  CHECK(asked.term("balance", 2) == Approx(score[2]));
  CHECK(std::isnan(asked.term("memory_mean", 2)));
}

TEST_CASE("safe: capacity is what Kubernetes may allocate, where that is known") {
  Node node = with_memory(cpu_node(2500, 400), 0.5);
  node.facts = test::facts({2, 8 * kGi});
  const Safe policy;
  const Asked asked(policy, test::make_pod(0.2, kGi), std::vector<Node>{node});
  CHECK(asked.term("cpu_mean", 0) == Approx(0.375 + 0.1));
  CHECK(asked.term("memory_mean", 0) == Approx(0.5 + 0.125));

  node.facts = test::facts({0, 0});
  const Asked nothing(policy, test::make_pod(0.2, 0), std::vector<Node>{node});
  CHECK(nothing.term("cpu_mean", 0) == 1);  // nothing of it is left for the pod
  CHECK(nothing.term("memory_mean", 0) == Approx(0.5));
}

TEST_CASE("safe: what is on its way to a node counts as if it were there") {
  const auto snapshot =
      test::make_snapshot({cpu_node(3000, 400), cpu_node(3000, 400), cpu_node(2000, 400)});
  const Safe policy;
  const std::vector<Booked> booked{{}, {.usage = {1, 0}, .requests = {}}, {}};
  const Asked asked(policy, test::make_pod(), snapshot, {}, booked);
  CHECK(asked.judgement.score[1] == Approx(asked.judgement.score[2]));
  CHECK(asked.judgement.score[1] < asked.judgement.score[0]);
}

TEST_CASE("safe: what the pod will use is not certain") {
  const auto snapshot = test::make_snapshot({cpu_node(2500, 400)});
  const Safe policy;
  const auto check = [&](double requested, double expected, double mean, double deviation) {
    INFO("requested " << requested << ", expected " << expected);
    const Asked asked(policy, test::make_pod(requested, 0), snapshot, {}, {}, {},
                      Usage{expected, 0});
    CHECK(asked.term("cpu_mean", 0) == Approx(mean));
    CHECK(asked.term("cpu_deviation", 0) == Approx(deviation));
  };
  check(0.2, 0.2, 0.425, 0.1);
  const double deviation = std::hypot(0.1, 0.9 / std::sqrt(12.0) / 4);
  check(1, 0.1, 0.625, deviation);
  check(0.1, 1, 0.625, deviation);  // it uses more than it asks for
}

TEST_CASE("safe: each window has its own statistics") {
  for (const auto& [window, mean, deviation] :
       {std::tuple{SafeWindow::k15m, Signal::kCpuMean15m, Signal::kCpuStddev15m},
        std::tuple{SafeWindow::k1h, Signal::kCpuMean1h, Signal::kCpuStddev1h},
        std::tuple{SafeWindow::k24h, Signal::kCpuMean24h, Signal::kCpuStddev24h}}) {
    Node node;
    node.value = {{mean, 0.5}, {deviation, 0.25}, {Signal::kCpus, 4}};
    const Safe policy({.window = window});
    CHECK(policy.needs().has(mean));
    const Asked asked(policy, test::make_pod(0, 0), std::vector<Node>{node});
    CHECK(asked.term("cpu_mean", 0) == 0.5);
    CHECK(asked.term("cpu_deviation", 0) == 0.25);
  }
}

TEST_CASE("safe: bad parameters are named") {
  CHECK(problem(SafeParameters{}).empty());
  CHECK(problem(SafeParameters{.utilization = 0, .percentile = 1}).empty());
  CHECK(problem(SafeParameters{.utilization = 90}).find("SAFEUTILIZATION") != std::string::npos);
  CHECK(problem(SafeParameters{.percentile = -0.1}).find("percentile -0.1") != std::string::npos);
  CHECK(problem(SafeParameters{.forecast_weight = kMissing}).find("nan") != std::string::npos);
  CHECK_FALSE(problem(SafeParameters{.overload_weight = -1}).empty());
  CHECK(problem(SafeParameters{.overload_weight = 0, .balance_weight = 0}).find("both 0") !=
        std::string::npos);
}

}  // namespace
}  // namespace optipod::extender
