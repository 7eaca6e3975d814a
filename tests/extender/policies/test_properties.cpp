// SPDX-License-Identifier: Apache-2.0
// What holds for every policy that is registered.
#include <cmath>
#include <random>

#include "extender/policies/registry.hpp"
#include "tests/extender/questions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using test::Asked;
using test::facts;
using test::Node;

constexpr double kGi = 1024.0 * 1024 * 1024;

/// Every policy as it comes, and again with parameters at their edges.
std::vector<std::unique_ptr<const Policy>> all_policies() {
  auto policies = make_policies({});
  for (const double extreme : {0.0, 1.0}) {
    PolicyParameters p;
    p.safe = {.utilization = extreme, .percentile = 1 - extreme, .forecast_weight = extreme};
    p.safe.window = extreme > 0 ? SafeWindow::k15m : SafeWindow::k24h;
    p.safe.reject = true;
    p.congestion.max = extreme > 0 ? 1e9 : 1e-9;
    p.pigeon.objective =
        extreme > 0 ? PigeonObjective::kLoadBalance : PigeonObjective::kConsolidate;
    p.pigeon.resources = extreme > 0 ? std::vector<std::size_t>{wire::kFirstExtended}
                                     : std::vector<std::size_t>{2, 4, 1, 3, 0};
    p.relative = {.memory_weight = 1 - extreme,
                  .cpu_weight = 0,
                  .filesystem_weight = extreme,
                  .best_ratio = 0,
                  .worst_ratio = extreme > 0 ? 1e6 : 2};
    REQUIRE((problem(p.safe) + problem(p.congestion) + problem(p.pigeon) + problem(p.relative))
                .empty());
    for (auto& policy : make_policies(p)) policies.push_back(std::move(policy));
  }
  return policies;
}

/// Every signal at `level` of what it may be, half of the node requested.
Node uniform(double level) {
  Node node;
  for (std::size_t s = 0; s < kSignals; ++s) node.value[static_cast<Signal>(s)] = level;
  node.value[Signal::kCpus] = 4;
  node.value[Signal::kMemoryBytes] = 16 * kGi;
  node.facts = facts({4, 16 * kGi, 110, 100 * kGi, 0}, {2, 8 * kGi, 20, 1 * kGi, 0});
  return node;
}

TEST_CASE("every policy: what a node does not tell is never to its advantage") {
  const Node idle = uniform(0.1);
  for (const auto& policy : all_policies()) {
    INFO(policy->name());
    for (const auto& [missing, value] : idle.value) {
      if (!policy->needs().has(missing)) continue;
      INFO(kSignalInfo[index(missing)].key);
      Node silent = idle;  // the best node, but for one thing it does not say
      silent.value.erase(missing);
      const Asked asked(*policy, test::make_pod(), {idle, silent, uniform(0.6)});
      const auto& score = asked.judgement.score;
      if (!std::isnan(score[1])) CHECK(score[1] <= score[0] + 1e-12);
    }
    const Asked none(*policy, test::make_pod(), {Node{}, Node{}});
    CHECK(std::isnan(none.judgement.score[0]));
    const Asked unknown(*policy, test::make_pod(), test::make_snapshot({idle, idle}),
                        {0, NodeTable::kUnknown, 1});
    CHECK(std::isnan(unknown.judgement.score[1]));
    const Asked empty(*policy, test::make_pod(), std::vector<Node>{});
    CHECK(empty.judgement.score.empty());
  }
}

TEST_CASE(
    "every policy: the best node gains nothing by silence about any of it, however the rest") {
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> share(0, 1);
  std::size_t judged = 0;
  for (const auto& policy : make_policies({})) {
    for (int round = 0; round < 20; ++round) {
      INFO(policy->name() << ", round " << round);
      Node best = uniform(0);
      std::vector<Node> others(6, best);
      std::map<std::string_view, std::array<double, 7>> level;  // a quantity's windows agree
      for (auto& [signal, value] : best.value) {
        if (signal == Signal::kCpus || signal == Signal::kMemoryBytes) continue;
        const std::string_view series = kSignalInfo[index(signal)].series;
        const auto [at, fresh] = level.try_emplace(series.substr(0, series.rfind(':')));
        if (fresh) {
          at->second[6] = 0.3 * share(random);
          for (std::size_t i = 0; i < 6; ++i) {
            at->second[i] = at->second[6] + (1 - at->second[6]) * share(random);
          }
        }
        value = at->second[6];
        for (std::size_t i = 0; i < 6; ++i) others[i].value[signal] = at->second[i];
      }
      for (const auto& [missing, value] : best.value) {
        if (!policy->needs().has(missing)) continue;
        INFO("without " << kSignalInfo[index(missing)].key);
        std::vector<Node> nodes = others;
        nodes.push_back(best);
        nodes.push_back(best);
        nodes.back().value.erase(missing);
        const auto score = Asked(*policy, test::make_pod(), nodes).judgement.score;
        if (std::isnan(score.back())) continue;
        CHECK(score.back() <= score[others.size()] + 1e-12);
        ++judged;
      }
    }
  }
  CHECK(judged > 500);
}

TEST_CASE("every policy: no signal makes a node better as it rises, among any candidates") {
  std::mt19937_64 random(13);
  std::uniform_real_distribution<double> share(0, 1);
  // Interpolation: of a deviation, safe's risk may fall by this much of a score.
  constexpr double kRounding = 1e-6;
  std::size_t compared = 0;
  for (const auto& policy : make_policies({})) {
    for (int round = 0; round < 20; ++round) {
      std::vector<Node> nodes(4, uniform(0));
      for (Node& node : nodes) {
        for (auto& [signal, value] : node.value) {
          if (signal == Signal::kCpus || signal == Signal::kMemoryBytes) continue;
          value = share(random) * share(random);
        }
      }
      for (std::size_t s = 0; s < kSignals; ++s) {
        const auto signal = static_cast<Signal>(s);
        if (!policy->needs().has(signal) || signal == Signal::kCpus ||
            signal == Signal::kMemoryBytes) {
          continue;
        }
        double last = 2;
        for (int step = 0; step <= 40; ++step) {
          nodes[0].value[signal] = step * 0.025;
          INFO(policy->name() << ", round " << round << ": " << kSignalInfo[s].key << " = "
                              << step * 0.025);
          const double score = Asked(*policy, test::make_pod(), nodes).judgement.score[0];
          REQUIRE(score <= last + kRounding);
          last = score;
          ++compared;
        }
      }
    }
  }
  CHECK(compared > 10'000);
}

TEST_CASE("every policy: the same question has the same answer, whatever was asked before") {
  const auto snapshot = test::make_snapshot({uniform(0.1), uniform(0.4), Node{}, uniform(0.2)});
  Node partial = uniform(0.3);
  std::erase_if(partial.value, [](const auto& v) { return index(v.first) % 2 == 0; });
  const auto before = test::make_snapshot({partial, uniform(0.9)});
  const wire::Pod pod = test::make_pod(), large = test::make_pod(3, 1e10);
  const std::vector<std::uint32_t> rows{0, 1, 2, 3}, first_rows{1, 0};
  for (const auto& policy : all_policies()) {
    INFO(policy->name());
    const auto prepared = policy->prepare(*snapshot), prepared_before = policy->prepare(*before);
    Judgement reused;
    reused.reset(first_rows.size());
    policy->judge(Question{large, {3, 1e10}, {}, *before, first_rows, {}, {}},
                  prepared_before.get(), reused);
    reused.reset(rows.size());
    const Question question{pod, {0.5, 1e9}, {}, *snapshot, rows, {}, {}};
    policy->judge(question, prepared.get(), reused);
    Judgement fresh;
    fresh.reset(rows.size());
    policy->judge(question, prepared.get(), fresh);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CHECK(std::isnan(reused.score[i]) == std::isnan(fresh.score[i]));
      if (!std::isnan(fresh.score[i])) CHECK(reused.score[i] == fresh.score[i]);
    }
    CHECK(reused.reject == fresh.reject);
  }
}

TEST_CASE("every policy: more of any signal of trouble is never better") {
  for (const auto& policy : all_policies()) {
    INFO(policy->name());
    for (std::size_t s = 0; s < kSignals; ++s) {
      const auto signal = static_cast<Signal>(s);
      if (!policy->needs().has(signal) || signal == Signal::kCpus ||
          signal == Signal::kMemoryBytes || signal == Signal::kUp) {
        continue;
      }
      INFO(kSignalInfo[s].key);
      double last = 2;
      for (const double value :
           {0.0, 0.01, 0.2, 0.5, 0.79, 0.81, 0.9, 0.95, 1.0, 1.5, 30.0, 1e300}) {
        Node one = uniform(0.1);
        one.value[signal] = value;
        const Asked asked(*policy, test::make_pod(), {one, uniform(0.1), uniform(0.6)});
        INFO(value);
        REQUIRE_FALSE(std::isnan(asked.judgement.score[0]));
        CHECK(asked.judgement.score[0] <= last + 1e-12);
        last = asked.judgement.score[0];
      }
    }
  }
}

TEST_CASE("every policy: the order of candidates is irrelevant, and no input makes NaN") {
  const std::vector<double> odd{0, 1e-300, 1e-9, 0.5, 1, 1.05, 64, 1e12, 1e300};
  constexpr std::size_t kNodes = 200;
  std::vector<Node> nodes(kNodes);
  std::vector<Booked> booked(kNodes);
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (std::size_t s = 0; s < kSignals; ++s) {
      if ((i * 7 + s * 3) % 5 != 0) {
        nodes[i].value[static_cast<Signal>(s)] = odd[(i * 31 + s * 17) % odd.size()];
      }
    }
    nodes[i].facts.known = i % 3 != 0;
    for (std::size_t r = 0; r < wire::kMostResources; ++r) {
      nodes[i].facts.allocatable[r] = odd[(i * 13 + r * 7) % odd.size()];
      nodes[i].facts.requested[r] = odd[(i * 11 + r * 5) % odd.size()];
      booked[i].requests[r] = odd[(i * 3 + r) % odd.size()];
    }
    if (i % 4 == 0) nodes[i].facts.congestion = odd[i % odd.size()];
    booked[i].usage = {odd[i * 5 % odd.size()], odd[i * 7 % odd.size()]};
  }
  const auto snapshot = test::make_snapshot(nodes);
  std::vector<std::uint32_t> forth;
  for (std::uint32_t i = 0; i < kNodes; ++i) forth.push_back(i);
  const std::vector<std::uint32_t> back(forth.rbegin(), forth.rend());
  for (const auto& policy : all_policies()) {
    INFO(policy->name());
    for (const auto& pod : {test::make_pod(1e6, 1e30), test::make_pod(0, 0)}) {
      const Asked a(*policy, pod, snapshot, forth, booked);
      const Asked b(*policy, pod, snapshot, back, {booked.rbegin(), booked.rend()});
      std::size_t judged = 0;
      for (std::size_t i = 0; i < kNodes; ++i) {
        const double score = a.judgement.score[i];
        const double other = b.judgement.score[kNodes - 1 - i];
        REQUIRE(std::isnan(score) == std::isnan(other));
        if (std::isnan(score)) continue;
        ++judged;
        CHECK(score >= 0);
        CHECK(score <= 1);
        CHECK(score == Approx(other).margin(1e-9));
      }
      CHECK(judged > 0);
    }
  }
}

TEST_CASE("every policy says of its score what it promised to say") {
  for (const auto& policy : all_policies()) {
    INFO(policy->name());
    REQUIRE(policy->terms().size() <= Policy::kMaxTerms);
    REQUIRE_FALSE(policy->terms().empty());
    const Asked asked(*policy, test::make_pod(), {uniform(0.1), uniform(0.6)});
    bool any = false;
    for (const std::string_view term : policy->terms()) {
      any = any || std::isfinite(asked.term(term, 1));
    }
    CHECK(any);
    if (policy->rejects()) CHECK_FALSE(policy->reject_reason().empty());
  }
}

}  // namespace
}  // namespace optipod::extender
