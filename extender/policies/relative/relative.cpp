// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/relative/relative.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "extender/policies/means.hpp"
#include "extender/policies/pair.hpp"

namespace optipod::extender {
namespace {

struct Rate {
  Signal signal;
  std::string_view term;
  double RelativeParameters::*group;
  double share;  ///< of its group
};

constexpr std::array<Rate, 8> kRate{{
    {Signal::kAllocatedBytesRate, "allocated_bytes_to_mean", &RelativeParameters::memory_weight,
     0.6},
    {Signal::kPageFaultsRate, "page_faults_to_mean", &RelativeParameters::memory_weight, 0.4},
    {Signal::kVoluntarySwitchesRate, "voluntary_switches_to_mean", &RelativeParameters::cpu_weight,
     0.2},
    {Signal::kInvoluntarySwitchesRate, "involuntary_switches_to_mean",
     &RelativeParameters::cpu_weight, 0.8},
    {Signal::kReadsRate, "reads_to_mean", &RelativeParameters::filesystem_weight, 0.3 * 0.4},
    {Signal::kReadBytesRate, "read_bytes_to_mean", &RelativeParameters::filesystem_weight,
     0.3 * 0.6},
    {Signal::kWritesRate, "writes_to_mean", &RelativeParameters::filesystem_weight, 0.7 * 0.4},
    {Signal::kWrittenBytesRate, "written_bytes_to_mean", &RelativeParameters::filesystem_weight,
     0.7 * 0.6},
}};
using Rates = std::array<double, kRate.size()>;

/// What nothing is known of is neither good nor bad.
constexpr double kNeutral = 0.5;
/// Beyond any real rate, and thousands of them still have a sum.
constexpr double kMostRate = 1e300;

struct Node {
  Rates rate{};
  bool known = false;  ///< one of them is
};

struct PreparedNodes final : Prepared {
  std::vector<Node> node;  ///< [row]
};

/// The candidates' means; NaN where there is nothing to compare with: nobody does it, or only one
/// tells.
Rates means_of(const Question& question, const std::vector<Node>& nodes) {
  auto told = told_by_candidates<kRate.size()>(
      question, [&](std::uint32_t row) { return nodes[row].known ? &nodes[row].rate : nullptr; });
  for (std::size_t r = 0; r < kRate.size(); ++r) {
    if (told.count[r] < 2 || told.mean[r] == 0) told.mean[r] = kMissing;
  }
  return told.mean;
}

}  // namespace

std::string problem(const RelativeParameters& p) {
  const std::array<double, 3> weights{p.memory_weight, p.cpu_weight, p.filesystem_weight};
  for (const double w : weights) {
    if (!(w >= 0 && w <= 1e6)) {
      return fmt::format(
          "a weight of {} is not in 0 to 1000000: give how much memory, cpu and "
          "filesystem count beside each other, for example 0.4, 0.4 and 0.2",
          w);
    }
  }
  if (weights[0] + weights[1] + weights[2] == 0) {
    return "memory_weight, cpu_weight and filesystem_weight are all 0, so nothing would count: "
           "make one of them positive";
  }
  if (!(p.best_ratio >= 0 && p.best_ratio < p.worst_ratio && p.worst_ratio <= 1e6 &&
        p.best_ratio + p.worst_ratio >= 2)) {
    return fmt::format(
        "best_ratio {} and worst_ratio {} must be ratios to the mean with 0 <= "
        "best_ratio < worst_ratio <= 1000000, and sum to 2 or more (or a node at the "
        "mean would be worse than one that tells nothing), for example 0.5 and 2",
        p.best_ratio, p.worst_ratio);
  }
  return {};
}

Relative::Relative(const RelativeParameters& parameters) : p_(parameters) {
  const double sum = p_.memory_weight + p_.cpu_weight + p_.filesystem_weight;
  for (std::size_t r = 0; r < kRates; ++r) {
    weight_[r] = p_.*kRate[r].group * kRate[r].share / sum;
  }
}

SignalSet Relative::needs() const {
  SignalSet set;
  for (const Rate& rate : kRate) set.add(SignalSet(rate.signal));
  return set;
}

std::shared_ptr<const Prepared> Relative::prepare(const Snapshot& snapshot) const {
  auto prepared = std::make_shared<PreparedNodes>();
  prepared->node.resize(snapshot.size());
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    Node& node = prepared->node[row];
    for (std::size_t r = 0; r < kRates; ++r) {
      node.rate[r] = std::min(snapshot.value(kRate[r].signal)[row], kMostRate);
      node.known = node.known || !std::isnan(node.rate[r]);
    }
  }
  return prepared;
}

void Relative::judge(const Question& question, const Prepared* prepared, Judgement& out) const {
  const std::vector<Node>& nodes = static_cast<const PreparedNodes*>(prepared)->node;
  const Rates mean = means_of(question, nodes);
  out.memo.assign(mean.begin(), mean.end());
  // (rate / mean - best) / (worst - best), with the divisions done once.
  const double range = p_.worst_ratio - p_.best_ratio;
  const Pair shift = pair(p_.best_ratio / range);
  std::array<Pair, kRates / 2> scale, weight;
  for (std::size_t p = 0; p < scale.size(); ++p) {
    scale[p] = 1 / (pair_at(&mean[2 * p]) * range);
    weight[p] = pair_at(&weight_[2 * p]);
  }
  for (std::size_t i = 0; i < question.size(); ++i) {
    const std::uint32_t row = question.row[i];
    if (row == NodeTable::kUnknown || !nodes[row].known) continue;
    Pair score{};
    for (std::size_t p = 0; p < scale.size(); ++p) {
      const Pair badness = pair_at(&nodes[row].rate[2 * p]) * scale[p] - shift;
      const Pair good = 1 - smaller(larger(badness, Pair{}), pair(1));
      score += weight[p] * (badness == badness ? good : pair(kNeutral));
    }
    out.score[i] = std::min(score[0] + score[1], 1.0);
  }
}

std::span<const std::string_view> Relative::terms() const {
  static constexpr auto kTerms = [] {
    std::array<std::string_view, kRate.size()> terms;
    for (std::size_t r = 0; r < terms.size(); ++r) terms[r] = kRate[r].term;
    return terms;
  }();
  return kTerms;
}

void Relative::explain(const Question& question, const Prepared* prepared, const Judgement& judged,
                       std::size_t candidate, std::span<double> values) const {
  const std::vector<Node>& nodes = static_cast<const PreparedNodes*>(prepared)->node;
  const std::uint32_t row = question.row[candidate];
  if (row == NodeTable::kUnknown) return;
  for (std::size_t r = 0; r < kRates; ++r) values[r] = nodes[row].rate[r] / judged.memo[r];
}

}  // namespace optipod::extender
