// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/congestion/congestion.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "extender/policies/losses.hpp"
#include "extender/policies/means.hpp"

namespace optipod::extender {
namespace {

enum : std::size_t { kCpu, kMemory, kIo, kNetwork, kLosses };
using Losses = std::array<double, kLosses>;

struct Node {
  Losses loss{};                 ///< NaN: not told
  double annotation = kMissing;  ///< NaN: none
  double free = kMissing;  ///< 1 - factor / max; NaN: unknown, or not without the others' means
  bool known = false;      ///< a loss is
};

struct PreparedNodes final : Prepared {
  std::vector<Node> node;  ///< [row]
};

double cpu_loss(double wait) {
  return wait / (1 + wait);  // of 1 + wait units of time, one is spent running
}

/// What is left of the time of whoever runs there. `instead` stands for what was not told; what is
/// not there either costs nobody.
double free_of(const Losses& loss, const Losses& instead) {
  double free = 1;
  for (std::size_t l = 0; l < kLosses; ++l) {
    const double lost = std::isnan(loss[l]) ? instead[l] : loss[l];
    if (!std::isnan(lost)) free *= 1 - lost;
  }
  return free;
}

bool complete(const Losses& loss) {
  return std::ranges::none_of(loss, [](double l) { return std::isnan(l); });
}

Node node_at(const Snapshot& s, std::size_t row, const CongestionParameters& p) {
  Node node;
  node.loss = {cpu_loss(runqueue_wait(s, row)), memory_stall(s, row),
               io_loss(s, row, p.half_latency), network_loss(s, row, p.half_retransmits)};
  node.known = std::ranges::any_of(node.loss, [](double l) { return !std::isnan(l); });
  if (s.facts[row].known) node.annotation = s.facts[row].congestion;
  if (!std::isnan(node.annotation)) {
    node.free = 1 - std::clamp(node.annotation, 0.0, p.max) / p.max;
  } else if (complete(node.loss)) {
    node.free = free_of(node.loss, node.loss);
  }
  return node;
}

}  // namespace

std::string problem(const CongestionParameters& p) {
  if (!(p.max > 0 && p.max <= 1e9)) {
    return fmt::format(
        "max {} is not in 0 (exclusive) to 1e9: give the factor of a node that is "
        "wholly congested, for example 100 (in CONGESTION_FACTOR_MAX, a whole number)",
        p.max);
  }
  for (const auto& [name, value, example] :
       {std::tuple{"half_latency_seconds", p.half_latency, "0.010"},
        std::tuple{"half_retransmits", p.half_retransmits, "0.02 (share of segments)"}}) {
    if (!(value > 0 && value <= 1e6)) {
      return fmt::format("{} {} is not positive: give what counts as half a loss, for example {}",
                         name, value, example);
    }
  }
  return {};
}

SignalSet Congestion::needs() const {
  return SignalSet(Signal::kRunqueueWait15s, Signal::kRunqueueWait1m, Signal::kMemoryStall15s,
                   Signal::kMemoryStall1m, Signal::kIoStall15s, Signal::kIoStall1m,
                   Signal::kBlockLatency15s, Signal::kBlockLatency1m, Signal::kBlockInflight,
                   Signal::kNetworkLoss15s, Signal::kNetworkLoss1m);
}

std::shared_ptr<const Prepared> Congestion::prepare(const Snapshot& snapshot) const {
  auto prepared = std::make_shared<PreparedNodes>();
  prepared->node.reserve(snapshot.size());
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    prepared->node.push_back(node_at(snapshot, row, p_));
  }
  return prepared;
}

void Congestion::judge(const Question& question, const Prepared* prepared, Judgement& out) const {
  const std::vector<Node>& nodes = static_cast<const PreparedNodes*>(prepared)->node;
  bool partial = false;
  for (std::size_t i = 0; i < question.size(); ++i) {
    const std::uint32_t row = question.row[i];
    if (row == NodeTable::kUnknown) continue;
    out.score[i] = nodes[row].free;
    partial = partial || (nodes[row].known && std::isnan(nodes[row].free));
  }
  if (!partial) return;
  // What a node has not told is the mean of what the candidates have: it may not gain by silence.
  const Losses means = told_by_candidates<kLosses>(question, [&](std::uint32_t row) {
                         return &nodes[row].loss;
                       }).mean;
  for (std::size_t i = 0; i < question.size(); ++i) {
    const std::uint32_t row = question.row[i];
    if (row == NodeTable::kUnknown || !nodes[row].known || !std::isnan(nodes[row].free)) continue;
    out.score[i] = free_of(nodes[row].loss, means);
  }
}

std::span<const std::string_view> Congestion::terms() const {
  static constexpr std::array<std::string_view, 6> kTerms{
      "factor", "annotation", "cpu_loss", "memory_loss", "io_loss", "network_loss"};
  return kTerms;
}

void Congestion::explain(const Question& question, const Prepared* prepared,
                         const Judgement& judged, std::size_t candidate,
                         std::span<double> values) const {
  const std::uint32_t row = question.row[candidate];
  if (row == NodeTable::kUnknown) return;
  const Node& node = static_cast<const PreparedNodes*>(prepared)->node[row];
  values[0] = p_.max * (1 - judged.score[candidate]);
  values[1] = node.annotation;
  std::ranges::copy(node.loss, values.begin() + 2);
}

}  // namespace optipod::extender
