// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/contention/contention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
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

/// What the formula makes of one node before the pod comes; a cache line.
struct alignas(64) Standing {
  double utilization;  ///< of its CPUs, with what is booked; 0 where no node tells it
  double per_cpu;      ///< 1 / CPUs; 0 likewise
  double kept;         ///< share of its time that who is there does not wait for a CPU
  double memory_used;  ///< share of it; -infinity where no node tells it, so that it costs nobody
  double per_memory;   ///< 1 / bytes; 0 likewise
  double calm;         ///< 1 - memory stall
  double io, network;
};

enum class Tells : std::uint8_t {
  kNothing,
  kPart,  ///< a field is missing that other nodes have
  kAll
};

struct PreparedNodes final : Prepared {
  // [row]. Apart, as most decisions look at the smaller two only.
  std::vector<Fields> field;
  std::vector<Tells> told;
  std::vector<Standing> standing;  ///< with nothing booked

  [[nodiscard]] bool known(std::uint32_t row) const {
    return row != NodeTable::kUnknown && told[row] != Tells::kNothing;
  }
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

/// `f` has no missing field but those that no candidate has.
Standing standing_of(const Fields& f, double booked_cpu, const ContentionParameters& p) {
  Standing s{};
  if (std::isnan(f[kUtilization])) {
    s.kept = 1 / (1 + f[kWait]);
  } else {
    s.per_cpu = 1 / f[kNodeCpus];
    s.utilization = f[kUtilization] + booked_cpu * s.per_cpu;
    const double predicted = predicted_wait(f[kNodeCpus], s.utilization, p);
    // The larger, rounded so that the smaller still tells equals apart.
    s.kept = 1 / (1 + std::sqrt(f[kWait] * f[kWait] + predicted * predicted));
  }
  const bool memory = !std::isnan(f[kMemoryUsed]) && !std::isnan(f[kMemoryTotal]);
  s.memory_used = memory ? f[kMemoryUsed] : -std::numeric_limits<double>::infinity();
  s.per_memory = memory ? 1 / f[kMemoryTotal] : 0;
  s.calm = 1 - f[kStall];
  s.io = f[kIo];
  s.network = f[kNetwork];
  return s;
}

/// Losses of one candidate, each of 0 .. 1.
struct Losses {
  double cpu, memory, io, network;
};

/// `memory`: bytes expected and booked.
[[gnu::always_inline]] inline Losses losses_with(const Standing& s, double cpus, double memory,
                                                 const ContentionParameters& p) {
  Losses loss{};
  loss.cpu = 1 - std::min(1.0, 1 / (s.utilization + cpus * s.per_cpu)) * s.kept;
  const double after = s.memory_used + memory * s.per_memory;
  const double over = after > p.memory_knee
                          ? std::min((after - p.memory_knee) / (p.memory_full - p.memory_knee), 1.0)
                          : 0;
  loss.memory = 1 - s.calm * (1 - over);
  loss.io = s.io;
  loss.network = s.network;
  return loss;
}

/// Means over the candidates: what they are taken for where they have not told, so that silence is
/// never the best. Empty when every candidate has told everything.
void means_where_needed(const Question& q, const PreparedNodes& nodes, std::vector<double>& means) {
  if (std::ranges::none_of(q.row, [&nodes](std::uint32_t row) {
        return row != NodeTable::kUnknown && nodes.told[row] == Tells::kPart;
      })) {
    return;
  }
  const auto told = told_by_candidates<kFields>(
      q, [&](std::uint32_t row) { return nodes.known(row) ? &nodes.field[row] : nullptr; });
  means.resize(kFields);
  for (std::size_t f = 0; f < kFields; ++f) {
    means[f] = told.count[f] == 0 ? kNobody[f] : told.mean[f];
  }
}

/// `fields` with what is missing taken from `means`.
Fields completed(Fields fields, std::span<const double> means) {
  for (std::size_t f = 0; f < kFields; ++f) {
    if (std::isnan(fields[f])) fields[f] = means[f];
  }
  return fields;
}

/// Of a candidate that something is known of.
[[gnu::always_inline]] inline Losses losses_at(const Question& q, const PreparedNodes& nodes,
                                               std::span<const double> means, std::size_t candidate,
                                               const ContentionParameters& p) {
  const std::uint32_t row = q.row[candidate];
  const Usage& booked = q.booked(candidate).usage;
  const double memory = q.expected.memory + booked.memory;
  const bool whole = nodes.told[row] == Tells::kAll;
  if (whole && booked.cpu == 0) {
    return losses_with(nodes.standing[row], q.expected.cpu, memory, p);
  }
  const Fields fields = whole ? nodes.field[row] : completed(nodes.field[row], means);
  return losses_with(standing_of(fields, booked.cpu, p), q.expected.cpu, memory, p);
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
  std::array<bool, kFields> anybody{};
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    const Fields& fields = prepared->field.emplace_back(fields_of(snapshot, row, p_));
    bool known = false;
    for (std::size_t f = 0; f < kFields; ++f) {
      if (std::isnan(fields[f])) continue;
      anybody[f] = true;
      known = known || (f != kNodeCpus && f != kMemoryTotal);
    }
    prepared->told.push_back(known ? Tells::kAll : Tells::kNothing);
  }
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    Fields& fields = prepared->field[row];
    for (std::size_t f = 0; f < kFields; ++f) {
      if (!std::isnan(fields[f])) continue;
      if (!anybody[f]) {
        fields[f] = kNobody[f];
      } else if (prepared->told[row] == Tells::kAll) {
        prepared->told[row] = Tells::kPart;
      }
    }
    prepared->standing.push_back(standing_of(fields, 0, p_));
  }
  return prepared;
}

void Contention::judge(const Question& question, const Prepared* prepared, Judgement& out) const {
  const auto& nodes = *static_cast<const PreparedNodes*>(prepared);
  means_where_needed(question, nodes, out.memo);
  const Sensitivity s = scaled(question.sensitivity, p_.sensitivity);
  if (s.cpu == 0 && s.memory == 0 && s.io == 0 && s.network == 0) return;  // all nodes are alike
  const ContentionParameters p = p_;  // a copy: what is written below could be what *this holds
  for (std::size_t i = 0; i < question.size(); ++i) {
    prefetch<Standing>(nodes.standing, question.row, i);
    prefetch_booked<Fields>(nodes.field, question, i);
    if (!nodes.known(question.row[i])) continue;
    const Losses loss = losses_at(question, nodes, out.memo, i, p);
    out.score[i] = (1 - s.cpu * loss.cpu) * (1 - s.memory * loss.memory) * (1 - s.io * loss.io) *
                   (1 - s.network * loss.network);
    out.reject[i] = 1 - out.score[i] > p.reject_above ? 1 : 0;
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
  const auto& nodes = *static_cast<const PreparedNodes*>(prepared);
  if (!nodes.known(question.row[candidate])) return;
  const Losses loss = losses_at(question, nodes, judged.memo, candidate, p_);
  const Booked& booked = question.booked(candidate);
  const std::array<double, 6> all{loss.cpu,     loss.memory,      loss.io,
                                  loss.network, booked.usage.cpu, booked.usage.memory};
  std::ranges::copy(all, values.begin());
}

}  // namespace optipod::extender
