// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/safe/safe.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>

namespace optipod::extender {
namespace {

enum : std::size_t { kCpu, kMemory, kResources };

constexpr Pair kSilent{kMissing, kMissing};

/// One node without the pod: utilisations are 0 .. 1. What it has not told of is 0. Two cache
/// lines.
struct alignas(64) Node {
  Pair mean{}, root_deviation{};
  Pair per_capacity{};  ///< 1 / CPUs, 1 / bytes
  RiskTable::Spread spread{};
  bool told[kResources] = {};

  [[nodiscard]] bool told_all() const { return told[kCpu] && told[kMemory]; }
  /// NaN for what it has not told of.
  [[nodiscard]] Pair known(Pair values) const {
    return told_all() ? values
                      : Pair{told[kCpu] ? values[kCpu] : kMissing,
                             told[kMemory] ? values[kMemory] : kMissing};
  }
};

struct PreparedNodes final : Prepared {
  std::vector<Node> node;       ///< [row]
  std::vector<Pair> deviation;  ///< [row]
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

/// Adds one resource; nothing where the node has not told enough.
void measure(const Snapshot& snapshot, std::size_t row, std::size_t resource,
             const SafeParameters& p, Node& node, Pair& told_deviation) {
  const Signals signals = signals_of(resource, p.window);
  const double mean = snapshot.value(signals.mean)[row];
  const double deviation = snapshot.value(signals.deviation)[row];
  const NodeFacts& facts = snapshot.facts[row];
  const double capacity = facts.known
                              ? facts.allocatable[resource == kCpu ? wire::kCpu : wire::kMemory]
                              : snapshot.value(signals.capacity)[row];
  if (std::isnan(mean) || std::isnan(deviation) || std::isnan(capacity)) return;
  const double forecast = snapshot.value(signals.forecast)[row];
  const double expected = std::isnan(forecast) ? mean
                                               : (1 - p.forecast_weight) * std::min(mean, 1.0) +
                                                     p.forecast_weight * std::min(forecast, 1.0);
  node.told[resource] = true;
  node.mean[resource] = std::min(expected, 1.0);
  told_deviation[resource] = std::min(deviation, 1.0);
  node.per_capacity[resource] = 1 / capacity;
}

/// What the pod adds.
struct Demand {
  Pair amount, deviation;  ///< CPUs, bytes
  bool varies;             ///< there is a deviation
};

/// It may use what it asks for, and does use what is expected of it: the larger counts, and
/// anything between the two is as likely.
Demand demand_of(const Question& q) {
  const Pair requested{q.pod.requests.cpu(), q.pod.requests.memory()};
  const Pair expected{q.expected.cpu, q.expected.memory};
  const Pair deviation = magnitude(requested - expected) / std::sqrt(12.0);
  return {larger(requested, expected), deviation, deviation[kCpu] > 0 || deviation[kMemory] > 0};
}

/// Of a capacity of 0 any amount is too much.
Pair share_of(Pair amount, Pair per_capacity) {
  return amount > 0 ? amount * per_capacity : Pair{};
}

/// With the pod, and what is booked already.
struct Load {
  Pair mean, deviation, root_deviation;  ///< of the utilisation, 0 .. 1
  Pair risk;                             ///< of overload
};

[[gnu::always_inline]] inline Load load_with(const PreparedNodes& nodes, std::uint32_t row,
                                             const Demand& demand, const Booked& booked,
                                             const RiskTable& table) {
  const Node& node = nodes.node[row];
  const Pair more = demand.amount + Pair{booked.usage.cpu, booked.usage.memory};
  const Pair mean = smaller(node.mean + share_of(more, node.per_capacity), pair(1));
  if (!demand.varies) {
    const Pair deviation = nodes.deviation[row];
    return {mean, deviation, node.root_deviation, table.risk(mean, node.spread)};
  }
  const Pair own = smaller(share_of(demand.deviation, node.per_capacity), pair(1));
  const Pair before = nodes.deviation[row];
  const Pair deviation = smaller(root(before * before + own * own), pair(1));
  return {mean, deviation, root(deviation), table.risk(mean, RiskTable::spread(deviation))};
}

/// Of one candidate, or the candidates' means: NaN where it has not told.
struct Scores {
  Pair overload = kSilent, balance = kSilent;
};

/// 1 / the risk that is tolerated, as good as infinite for none.
double per_tolerated(double tolerated) {
  return tolerated > 0 ? 1 / tolerated : std::numeric_limits<double>::max();
}

/// Overload: 1 - √(risk / tolerated), 0 from there on; 1 for no risk where none is tolerated.
Scores scores_of(const Load& load, double per_tolerated) {
  return {larger(1 - root(load.risk * per_tolerated), Pair{}),
          1 - (load.mean + load.root_deviation) / 2};
}

/// The smaller one; what is NaN is taken for the mean, and where that is NaN too, not at all.
double weaker(Pair own, Pair means) {
  const double cpu = std::isnan(own[kCpu]) ? means[kCpu] : own[kCpu];
  const double memory = std::isnan(own[kMemory]) ? means[kMemory] : own[kMemory];
  return memory < cpu || std::isnan(cpu) ? memory : cpu;
}

/// Sums, then means over the candidates that told.
class MeanScores {
 public:
  void add(const Scores& scores, const Node& node) {
    const Pair told{node.told[kCpu] ? 1.0 : 0.0, node.told[kMemory] ? 1.0 : 0.0};
    overload_ += scores.overload * told;
    balance_ += scores.balance * told;
    count_ += told;
  }
  /// NaN where nobody told.
  [[nodiscard]] Scores mean() const { return {overload_ / count_, balance_ / count_}; }

 private:
  Pair overload_{}, balance_{}, count_{};
};

/// Whether something was told of the candidate.
bool known(const Question& q, const PreparedNodes& nodes, std::size_t candidate) {
  const std::uint32_t row = q.row[candidate];
  return row != NodeTable::kUnknown &&
         (nodes.node[row].told[kCpu] || nodes.node[row].told[kMemory]);
}

/// What nodes are taken for where they have not told.
Scores told_by_candidates(const Question& q, const PreparedNodes& nodes, const Demand& demand,
                          const RiskTable& table, double per_risk) {
  MeanScores sums;
  for (std::size_t i = 0; i < q.size(); ++i) {
    if (!known(q, nodes, i)) continue;
    const Load load = load_with(nodes, q.row[i], demand, q.booked(i), table);
    sums.add(scores_of(load, per_risk), nodes.node[q.row[i]]);
  }
  return sums.mean();
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
  prepared->deviation.resize(snapshot.size());
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    Node& node = prepared->node[row];
    Pair& deviation = prepared->deviation[row];
    for (std::size_t r = 0; r < kResources; ++r) measure(snapshot, row, r, p_, node, deviation);
    node.root_deviation = root(deviation);
    node.spread = RiskTable::spread(deviation);
  }
  return prepared;
}

void Safe::judge(const Question& question, const Prepared* prepared, Judgement& out) const {
  const auto& nodes = *static_cast<const PreparedNodes*>(prepared);
  const SafeParameters p = p_;  // a copy: what is written below could be what *this holds
  const Demand demand = demand_of(question);
  const double per_risk = per_tolerated(p.percentile);
  const double overload_weight = p.overload_weight / (p.overload_weight + p.balance_weight);
  const auto combined = [&](double overload, double balance) {
    return overload_weight * overload + (1 - overload_weight) * balance;
  };
  std::vector<std::uint32_t> partial;
  std::vector<double> balance(question.size());
  for (std::uint32_t i = 0; i < question.size(); ++i) {
    prefetch<Node>(nodes.node, question.row, i);
    if (!known(question, nodes, i)) continue;
    const Node& node = nodes.node[question.row[i]];
    const Load load = load_with(nodes, question.row[i], demand, question.booked(i), risk_);
    if (p.reject) {
      const Pair risk = node.known(load.risk);
      out.reject[i] = risk[kCpu] > p.percentile || risk[kMemory] > p.percentile;
    }
    if (node.told_all()) {
      out.score[i] = greater(load.risk) * per_risk;
      balance[i] = 1 - greater(load.mean + load.root_deviation) / 2;
    } else {
      partial.push_back(i);
    }
  }
  // The lesser of scores_of(): that of the greater risk. Apart, because a root takes long and waits
  // for all before it; what is NaN remains so.
  for (std::size_t i = 0; i < question.size(); ++i) {
    const double left = 1 - std::sqrt(out.score[i]);
    out.score[i] = combined(left < 0 ? 0 : left, balance[i]);
  }
  if (partial.empty()) return;
  // A resource of which a node has not told is taken for the candidates' mean: it may not gain by
  // it.
  const Scores means = told_by_candidates(question, nodes, demand, risk_, per_risk);
  out.memo.assign(
      {means.overload[kCpu], means.overload[kMemory], means.balance[kCpu], means.balance[kMemory]});
  for (const std::uint32_t i : partial) {
    const std::uint32_t row = question.row[i];
    const Node& node = nodes.node[row];
    const Scores own =
        scores_of(load_with(nodes, row, demand, question.booked(i), risk_), per_risk);
    out.score[i] = combined(weaker(node.known(own.overload), means.overload),
                            weaker(node.known(own.balance), means.balance));
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
  const auto& nodes = *static_cast<const PreparedNodes*>(prepared);
  if (!known(question, nodes, candidate)) return;
  const std::uint32_t row = question.row[candidate];
  const Node& node = nodes.node[row];
  Scores means;
  if (judged.memo.size() == 4) {
    means = {Pair{judged.memo[0], judged.memo[1]}, Pair{judged.memo[2], judged.memo[3]}};
  }
  const Load load = load_with(nodes, row, demand_of(question), question.booked(candidate), risk_);
  for (std::size_t r = 0; r < kResources; ++r) {
    if (!node.told[r]) continue;
    values[3 * r] = load.mean[r];
    values[3 * r + 1] = load.deviation[r];
    values[3 * r + 2] = load.risk[r];  // what the score rests on
  }
  const Scores own = scores_of(load, per_tolerated(p_.percentile));
  values[6] = weaker(node.known(own.overload), means.overload);
  values[7] = weaker(node.known(own.balance), means.balance);
}

}  // namespace optipod::extender
