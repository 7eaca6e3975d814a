// SPDX-License-Identifier: Apache-2.0
//
// Where would this pod wait least? The share of its time that it would be productive, as the
// product of what CPU, memory, I/O and network leave of it. Formula, sources and examples:
// docs/policies/contention.md
#pragma once

#include "extender/policies/policy.hpp"

namespace optipod::extender {

struct ContentionParameters {
  /// How much a pod without the annotation optipod.dev/profile suffers from each kind of waiting.
  Sensitivity sensitivity;
  /// Utilisation up to which the queueing formula is believed; beyond, only measured waiting and
  /// the plain shortage of CPUs tell nodes apart.
  double max_queueing_utilization = 0.8;
  /// Memory utilisation after placement at which a loss begins, and at which it is total.
  double memory_knee = 0.95, memory_full = 1.05;
  /// Block latency that counts as half a loss where the kernel gives no I/O pressure; seconds.
  double half_latency = 0.010;
  /// Share of TCP segments sent again that counts as half a loss.
  double half_retransmits = 0.02;
  /// /filter rejects a node that leaves a pod less than 1 - this; 1: never.
  double reject_above = 1;
  bool operator==(const ContentionParameters&) const = default;
};

class Contention final : public Policy {
 public:
  explicit Contention(const ContentionParameters& parameters = {}) : p_(parameters) {}

  [[nodiscard]] std::string_view name() const override { return "contention"; }
  [[nodiscard]] SignalSet needs() const override;
  [[nodiscard]] std::shared_ptr<const Prepared> prepare(const Snapshot& snapshot) const override;
  void judge(const Question& question, const Prepared* prepared, Judgement& out) const override;
  [[nodiscard]] std::span<const std::string_view> terms() const override;
  void explain(const Question& question, const Prepared* prepared, const Judgement& judged,
               std::size_t candidate, std::span<double> values) const override;
  [[nodiscard]] bool rejects() const override { return p_.reject_above < 1; }
  [[nodiscard]] std::string_view reject_reason() const override {
    return "optipod: too much contention measured";
  }

 private:
  ContentionParameters p_;
};

/// Mean wait in units of the service time of a queue with `servers` at utilisation 0 <= rho < 1:
/// rho^(sqrt(2(c+1)) - 1) / (c (1 - rho)). H. Sakasegawa, "An approximation formula Lq = a rho^b /
/// (1 - rho)", Annals of the Institute of Statistical Mathematics 29 (1977).
double queueing_wait(double servers, double rho);

}  // namespace optipod::extender
