// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/contention/contention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "extender/policies/losses.hpp"
#include "extender/policies/means.hpp"

namespace optipod::extender {
namespace {

/// What the formula takes of one node.
enum Field : std::size_t {
  kNodeCpus,
  kWait,
  kUtilization,
  kMemoryTotal,
  kMemoryUsed,
  kStall,
  kIo,
  kNetwork,
  kFields
};
using Fields = std::array<double, kFields>;

/// What a field that no node has is taken for: it costs nobody. NaN: the formula does without.
constexpr Fields kNobody{1, 0, kMissing, kMissing, kMissing, 0, 0, 0};

struct Node {
  Fields field{};
  double predicted = 0;  ///< wait behind those who are there
  bool known = false;    ///< something is
  bool partial = false;  ///< a field is missing that other nodes have
};

struct PreparedNodes final : Prepared {
  std::vector<Node> node;  ///< [row]
};

Fields fields_of(const Snapshot& s, std::size_t row, const ContentionParameters& p) {
  const auto at = [&](Signal signal) { return s.value(signal)[row]; };
  Fields f{};
  f[kNodeCpus] = at(Signal::kCpus) > 0 ? at(Signal::kCpus) : kMissing;
  f[kWait] = runqueue_wait(s, row);
  f[kUtilization] = worse(at(Signal::kCpuUtilization15s), at(Signal::kCpuUtilization1m));
  f[kMemoryTotal] = at(Signal::kMemoryBytes) > 0 ? at(Signal::kMemoryBytes) : kMissing;
  f[kMemoryUsed] = at(Signal::kMemoryUtilization);
  f[kStall] = memory_stall(s, row);
  f[kIo] = io_loss(s, row, p.half_latency);
  f[kNetwork] = network_loss(s, row, p.half_retransmits);
  return f;
}

double predicted_wait(double cpus, double utilization, const ContentionParameters& p) {
  // Behind the others, not behind itself: what it asks for makes it wait only where CPUs run short.
  return queueing_wait(cpus, std::min(utilization, p.max_queueing_utilization));
}

/// Losses of one candidate, each of 0 .. 1.
struct Losses {
  double cpu, memory, io, network;
};

/// `node` has no missing field but those that no candidate has.
Losses losses_of(const Node& node, const Question& q, const Booked& booked,
                 const ContentionParameters& p) {
  const Fields& f = node.field;
  Losses loss{};
  const double wait = f[kWait];
  if (std::isnan(f[kUtilization])) {
    loss.cpu = wait / (1 + wait);
  } else {
    const double there = f[kUtilization] + booked.usage.cpu / f[kNodeCpus];
    const double predicted =
        booked.usage.cpu == 0 ? node.predicted : predicted_wait(f[kNodeCpus], there, p);
    const double after = there + q.expected.cpu / f[kNodeCpus];
    // The larger, rounded so that the smaller still tells equals apart.
    loss.cpu = 1 - std::min(1.0, 1 / after) / (1 + std::sqrt(wait * wait + predicted * predicted));
  }
  const double after = f[kMemoryUsed] + (q.expected.memory + booked.usage.memory) / f[kMemoryTotal];
  const double over =  // NaN compares false
      after > p.memory_knee
          ? std::min((after - p.memory_knee) / (p.memory_full - p.memory_knee), 1.0)
          : 0;
  loss.memory = 1 - (1 - f[kStall]) * (1 - over);
  loss.io = f[kIo];
  loss.network = f[kNetwork];
  return loss;
}

/// Means over the candidates: what they are taken for where they have not told, so that silence is
/// never the best. Empty when every candidate has told everything.
void means_where_needed(const Question& q, const std::vector<Node>& nodes,
                        std::vector<double>& means) {
  bool partial = false;
  for (const std::uint32_t row : q.row) {
    partial = partial || (row != NodeTable::kUnknown && nodes[row].known && nodes[row].partial);
  }
  if (!partial) return;
  const auto told = told_by_candidates<kFields>(
      q, [&](std::uint32_t row) { return nodes[row].known ? &nodes[row].field : nullptr; });
  means.resize(kFields);
  for (std::size_t f = 0; f < kFields; ++f) {
    means[f] = told.count[f] == 0 ? kNobody[f] : told.mean[f];
  }
}

/// `node` with what it lacks taken from `means`.
Node completed(Node node, std::span<const double> means, const ContentionParameters& p) {
  for (std::size_t f = 0; f < kFields; ++f) {
    if (std::isnan(node.field[f])) node.field[f] = means[f];
  }
  node.predicted = predicted_wait(node.field[kNodeCpus], node.field[kUtilization], p);
  return node;
}

Losses losses_at(const Question& q, const std::vector<Node>& nodes, std::span<const double> means,
                 std::size_t candidate, const ContentionParameters& p) {
  const Node& node = nodes[q.row[candidate]];
  return node.partial ? losses_of(completed(node, means, p), q, q.booked(candidate), p)
                      : losses_of(node, q, q.booked(candidate), p);
}

/// A pod's own profile, on top of what the parameters say of every pod.
Sensitivity scaled(const Sensitivity& pod, const Sensitivity& all) {
  return {pod.cpu * all.cpu, pod.memory * all.memory, pod.io * all.io, pod.network * all.network};
}

}  // namespace

double queueing_wait(double servers, double rho) {
  return std::pow(rho, std::sqrt(2 * (servers + 1)) - 1) / (servers * (1 - rho));
}

SignalSet Contention::needs() const {
  return SignalSet(Signal::kCpus, Signal::kCpuUtilization15s, Signal::kCpuUtilization1m,
                   Signal::kRunqueueWait15s, Signal::kRunqueueWait1m, Signal::kMemoryUtilization,
                   Signal::kMemoryBytes, Signal::kMemoryStall15s, Signal::kMemoryStall1m,
                   Signal::kIoStall15s, Signal::kIoStall1m, Signal::kBlockLatency15s,
                   Signal::kBlockLatency1m, Signal::kBlockInflight, Signal::kNetworkLoss15s,
                   Signal::kNetworkLoss1m);
}

std::shared_ptr<const Prepared> Contention::prepare(const Snapshot& snapshot) const {
  auto prepared = std::make_shared<PreparedNodes>();
  prepared->node.resize(snapshot.size());
  std::array<bool, kFields> anybody{};
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    Node& node = prepared->node[row];
    node.field = fields_of(snapshot, row, p_);
    for (std::size_t f = 0; f < kFields; ++f) {
      if (std::isnan(node.field[f])) continue;
      anybody[f] = true;
      node.known = node.known || (f != kNodeCpus && f != kMemoryTotal);
    }
  }
  for (Node& node : prepared->node) {
    for (std::size_t f = 0; f < kFields; ++f) {
      if (!std::isnan(node.field[f])) continue;
      if (anybody[f]) {
        node.partial = true;
      } else {
        node.field[f] = kNobody[f];
      }
    }
    node.predicted = predicted_wait(node.field[kNodeCpus], node.field[kUtilization], p_);
  }
  return prepared;
}

void Contention::judge(const Question& question, const Prepared* prepared, Judgement& out) const {
  const std::vector<Node>& nodes = static_cast<const PreparedNodes*>(prepared)->node;
  means_where_needed(question, nodes, out.memo);
  const Sensitivity s = scaled(question.sensitivity, p_.sensitivity);
  if (s.cpu == 0 && s.memory == 0 && s.io == 0 && s.network == 0) return;  // all nodes are alike
  for (std::size_t i = 0; i < question.size(); ++i) {
    const std::uint32_t row = question.row[i];
    if (row == NodeTable::kUnknown || !nodes[row].known) continue;
    const Losses loss = losses_at(question, nodes, out.memo, i, p_);
    out.score[i] = (1 - s.cpu * loss.cpu) * (1 - s.memory * loss.memory) * (1 - s.io * loss.io) *
                   (1 - s.network * loss.network);
    out.reject[i] = 1 - out.score[i] > p_.reject_above ? 1 : 0;
  }
}

std::span<const std::string_view> Contention::terms() const {
  static constexpr std::array<std::string_view, 6> kTerms{
      "cpu_loss", "memory_loss", "io_loss", "network_loss", "booked_cpu", "booked_memory_bytes"};
  return kTerms;
}

void Contention::explain(const Question& question, const Prepared* prepared,
                         const Judgement& judged, std::size_t candidate,
                         std::span<double> values) const {
  const std::vector<Node>& nodes = static_cast<const PreparedNodes*>(prepared)->node;
  const std::uint32_t row = question.row[candidate];
  if (row == NodeTable::kUnknown || !nodes[row].known) return;
  const Losses loss = losses_at(question, nodes, judged.memo, candidate, p_);
  const Booked& booked = question.booked(candidate);
  const std::array<double, 6> all{loss.cpu,     loss.memory,      loss.io,
                                  loss.network, booked.usage.cpu, booked.usage.memory};
  std::ranges::copy(all, values.begin());
}

}  // namespace optipod::extender
