// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/safe/safe.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <fmt/format.h>

namespace optipod::extender {
namespace {

enum : std::size_t { kCpu, kMemory, kResources };

/// One resource of one node, without the pod; all NaN where the node has not told enough.
struct Measured {
  double mean = kMissing, deviation = kMissing;  ///< of its utilisation, 0 .. 1
  double per_capacity = kMissing;                ///< 1 / CPUs or bytes

  [[nodiscard]] bool told() const { return !std::isnan(mean); }
};
using Node = std::array<Measured, kResources>;

struct PreparedNodes final : Prepared {
  std::vector<Node> node;  ///< [row]
};

struct Signals {
  Signal mean, deviation, forecast, capacity;
};

Signals signals_of(std::size_t resource, SafeWindow window) {
  using enum Signal;
  constexpr std::array<std::array<Signals, 3>, kResources> kAll{
      {{{{kCpuMean15m, kCpuStddev15m, kCpuForecast, kCpus},
         {kCpuMean1h, kCpuStddev1h, kCpuForecast, kCpus},
         {kCpuMean24h, kCpuStddev24h, kCpuForecast, kCpus}}},
       {{{kMemoryMean15m, kMemoryStddev15m, kMemoryForecast, kMemoryBytes},
         {kMemoryMean1h, kMemoryStddev1h, kMemoryForecast, kMemoryBytes},
         {kMemoryMean24h, kMemoryStddev24h, kMemoryForecast, kMemoryBytes}}}}};
  return kAll[resource][static_cast<std::size_t>(window)];
}

Measured measured_at(const Snapshot& snapshot, std::size_t row, std::size_t resource,
                     const SafeParameters& p) {
  const Signals signals = signals_of(resource, p.window);
  const double mean = snapshot.value(signals.mean)[row];
  const double deviation = snapshot.value(signals.deviation)[row];
  const NodeFacts& facts = snapshot.facts[row];
  const double capacity = facts.known
                              ? facts.allocatable[resource == kCpu ? wire::kCpu : wire::kMemory]
                              : snapshot.value(signals.capacity)[row];
  if (std::isnan(mean) || std::isnan(deviation) || std::isnan(capacity)) return {};
  const double forecast = snapshot.value(signals.forecast)[row];
  const double expected = std::isnan(forecast) ? mean
                                               : (1 - p.forecast_weight) * std::min(mean, 1.0) +
                                                     p.forecast_weight * std::min(forecast, 1.0);
  return {std::min(expected, 1.0), std::min(deviation, 1.0), 1 / capacity};
}

/// What the pod adds.
struct Demand {
  double amount;     ///< CPUs or bytes
  double deviation;  ///< of the same
};

/// It may use what it asks for, and does use what is expected of it: the larger counts, and
/// anything between the two is as likely.
Demand demand_of(double requested, double expected) {
  return {std::max(requested, expected), std::abs(requested - expected) / std::sqrt(12.0)};
}

using Demands = std::array<Demand, kResources>;

Demands demands_of(const Question& q) {
  return {demand_of(q.pod.requests.cpu(), q.expected.cpu),
          demand_of(q.pod.requests.memory(), q.expected.memory)};
}

double booked_of(const Booked& booked, std::size_t resource) {
  return resource == kCpu ? booked.usage.cpu : booked.usage.memory;
}

/// Of a capacity of 0 any amount is too much.
double share_of(double amount, double per_capacity) {
  return amount > 0 ? amount * per_capacity : 0;
}

struct Load {
  double mean, deviation;  ///< of the utilisation with the pod, 0 .. 1
};

Load load_with(const Measured& node, const Demand& demand, double booked) {
  Load load{std::min(node.mean + share_of(demand.amount + booked, node.per_capacity), 1.0),
            node.deviation};
  if (demand.deviation > 0) {
    const double more = std::min(share_of(demand.deviation, node.per_capacity), 1.0);
    load.deviation = std::min(std::sqrt(load.deviation * load.deviation + more * more), 1.0);
  }
  return load;
}

double overload_score(double risk, double tolerated) {
  if (risk >= tolerated) return risk > 0 ? 0 : 1;  // the latter where nothing is tolerated
  return 1 - std::sqrt(risk / tolerated);
}

double balance_score(const Load& load) {
  return 1 - (load.mean + std::sqrt(load.deviation)) / 2;
}

/// Of one candidate, or the candidates' means: [resource], NaN where it has not told.
struct Scores {
  std::array<double, kResources> overload{kMissing, kMissing}, balance{kMissing, kMissing};
};

Scores scores_of(const Node& node, const Demands& demands, const Booked& booked,
                 const RiskTable& table, double tolerated, bool& too_risky) {
  Scores scores;
  for (std::size_t r = 0; r < kResources; ++r) {
    if (!node[r].told()) continue;
    const Load load = load_with(node[r], demands[r], booked_of(booked, r));
    const double risk = table.risk(load.mean, load.deviation);
    too_risky = too_risky || risk > tolerated;
    scores.overload[r] = overload_score(risk, tolerated);
    scores.balance[r] = balance_score(load);
  }
  return scores;
}

double weaker(const std::array<double, kResources>& own,
              const std::array<double, kResources>& means) {
  const double cpu = std::isnan(own[kCpu]) ? means[kCpu] : own[kCpu];
  const double memory = std::isnan(own[kMemory]) ? means[kMemory] : own[kMemory];
  return std::fmin(cpu, memory);  // NaN: the other
}

/// Sums, then means over the candidates that told.
class MeanScores {
 public:
  void add(const Scores& scores) {
    for (std::size_t r = 0; r < kResources; ++r) {
      if (std::isnan(scores.overload[r])) continue;
      sum_.overload[r] += scores.overload[r];
      sum_.balance[r] += scores.balance[r];
      ++count_[r];
    }
  }
  [[nodiscard]] Scores mean() const {
    Scores mean;
    for (std::size_t r = 0; r < kResources; ++r) {
      if (count_[r] == 0) continue;
      mean.overload[r] = sum_.overload[r] / static_cast<double>(count_[r]);
      mean.balance[r] = sum_.balance[r] / static_cast<double>(count_[r]);
    }
    return mean;
  }

 private:
  Scores sum_{{0, 0}, {0, 0}};
  std::array<std::size_t, kResources> count_{};
};

const Node* node_of(const Question& q, const Prepared* prepared, std::size_t candidate) {
  const std::uint32_t row = q.row[candidate];
  if (row == NodeTable::kUnknown) return nullptr;
  const Node& node = static_cast<const PreparedNodes*>(prepared)->node[row];
  return node[kCpu].told() || node[kMemory].told() ? &node : nullptr;
}

}  // namespace

std::string problem(const SafeParameters& p) {
  const auto share = [](std::string_view name, double value) -> std::string {
    if (value >= 0 && value <= 1) return {};
    return fmt::format(
        "{} {} is not a share: give a number from 0 to 1 (in {}, a whole number "
        "from 0 to 100)",
        name, value,
        name == "utilization"  ? "SAFEUTILIZATION"
        : name == "percentile" ? "SAFEPERCENTILE"
                               : "SAFEFORECASTWEIGHT");
  };
  for (const auto& [name, value] :
       {std::pair{"utilization", p.utilization}, std::pair{"percentile", p.percentile},
        std::pair{"forecast_weight", p.forecast_weight}}) {
    if (std::string wrong = share(name, value); !wrong.empty()) return wrong;
  }
  for (const double weight : {p.overload_weight, p.balance_weight}) {
    if (!(weight >= 0 && weight <= 1e6)) {
      return fmt::format(
          "a weight of {} is not in 0 to 1000000: give how much overload and balance "
          "count beside each other, for example 1 and 1",
          weight);
    }
  }
  if (p.overload_weight + p.balance_weight == 0) {
    return "overload_weight and balance_weight are both 0, so nothing would count: make one of "
           "them "
           "positive";
  }
  return {};
}

SignalSet Safe::needs() const {
  SignalSet set;
  for (std::size_t r = 0; r < kResources; ++r) {
    const Signals s = signals_of(r, p_.window);
    set.add(SignalSet(s.mean, s.deviation, s.capacity));
    if (p_.forecast_weight > 0) set.add(SignalSet(s.forecast));
  }
  return set;
}

std::shared_ptr<const Prepared> Safe::prepare(const Snapshot& snapshot) const {
  auto prepared = std::make_shared<PreparedNodes>();
  prepared->node.resize(snapshot.size());
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    for (std::size_t r = 0; r < kResources; ++r) {
      prepared->node[row][r] = measured_at(snapshot, row, r, p_);
    }
  }
  return prepared;
}

void Safe::judge(const Question& question, const Prepared* prepared, Judgement& out) const {
  const Demands demands = demands_of(question);
  const auto scored = [&](const Node& node, std::size_t candidate, bool& too_risky) {
    return scores_of(node, demands, question.booked(candidate), risk_, p_.percentile, too_risky);
  };
  const auto combined = [&](const Scores& own, const Scores& means) {
    return (p_.overload_weight * weaker(own.overload, means.overload) +
            p_.balance_weight * weaker(own.balance, means.balance)) /
           (p_.overload_weight + p_.balance_weight);
  };
  MeanScores sums;
  bool partial = false;
  for (std::size_t i = 0; i < question.size(); ++i) {
    const Node* node = node_of(question, prepared, i);
    if (node == nullptr) continue;
    bool too_risky = false;
    const Scores own = scored(*node, i, too_risky);
    sums.add(own);
    partial = partial || !(*node)[kCpu].told() || !(*node)[kMemory].told();
    out.score[i] = combined(own, own);
    out.reject[i] = p_.reject && too_risky ? 1 : 0;
  }
  if (!partial) return;
  // A resource of which a node has not told is taken for the candidates' mean: it may not gain by
  // it.
  const Scores means = sums.mean();
  out.memo.assign(
      {means.overload[kCpu], means.overload[kMemory], means.balance[kCpu], means.balance[kMemory]});
  for (std::size_t i = 0; i < question.size(); ++i) {
    const Node* node = node_of(question, prepared, i);
    if (node == nullptr || ((*node)[kCpu].told() && (*node)[kMemory].told())) continue;
    bool too_risky = false;
    out.score[i] = combined(scored(*node, i, too_risky), means);
  }
}

std::span<const std::string_view> Safe::terms() const {
  static constexpr std::array<std::string_view, 8> kTerms{
      "cpu_mean",         "cpu_deviation", "cpu_risk", "memory_mean",
      "memory_deviation", "memory_risk",   "overload", "balance"};
  return kTerms;
}

void Safe::explain(const Question& question, const Prepared* prepared, const Judgement& judged,
                   std::size_t candidate, std::span<double> values) const {
  const Node* node = node_of(question, prepared, candidate);
  if (node == nullptr) return;
  Scores means;
  if (judged.memo.size() == 4) {
    means = {{judged.memo[0], judged.memo[1]}, {judged.memo[2], judged.memo[3]}};
  }
  const Demands demands = demands_of(question);
  Scores own;
  for (std::size_t r = 0; r < kResources; ++r) {
    if (!(*node)[r].told()) continue;
    const Load load = load_with((*node)[r], demands[r], booked_of(question.booked(candidate), r));
    const double risk = risk_.risk(load.mean, load.deviation);  // what the score rests on
    values[3 * r] = load.mean;
    values[3 * r + 1] = load.deviation;
    values[3 * r + 2] = risk;
    own.overload[r] = overload_score(risk, p_.percentile);
    own.balance[r] = balance_score(load);
  }
  values[6] = weaker(own.overload, means.overload);
  values[7] = weaker(own.balance, means.balance);
}

}  // namespace optipod::extender
