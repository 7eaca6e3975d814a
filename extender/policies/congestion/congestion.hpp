// SPDX-License-Identifier: Apache-2.0
//
// One congestion factor a node: its annotation `congestion-factor`, else what its measured waiting
// costs whoever runs there. Formula, source and examples: docs/policies/congestion.md
#pragma once

#include <cmath>
#include <string>

#include "extender/policies/policy.hpp"

namespace optipod::extender {

struct CongestionParameters {
  /// The factor of a node that is wholly congested; CONGESTION_FACTOR_MAX.
  double max = 100;
  /// As in `contention`: block latency in seconds, and share of TCP segments sent again, that count
  /// as half a loss.
  double half_latency = 0.010, half_retransmits = 0.02;
  bool operator==(const CongestionParameters&) const = default;
};

/// "" if they can be used; else what is wrong and what to do.
std::string problem(const CongestionParameters& parameters);

class Congestion final : public Policy {
 public:
  /// `parameters` have no problem().
  explicit Congestion(const CongestionParameters& parameters = {}) : p_(parameters) {}

  [[nodiscard]] std::string_view name() const override { return "congestion"; }
  [[nodiscard]] SignalSet needs() const override;
  /// What an annotation says has no age.
  [[nodiscard]] bool ageless(const Snapshot& snapshot, std::size_t row) const override {
    return !std::isnan(snapshot.facts[row].congestion) && snapshot.facts[row].known;
  }
  [[nodiscard]] std::shared_ptr<const Prepared> prepare(const Snapshot& snapshot) const override;
  void judge(const Question& question, const Prepared* prepared, Judgement& out) const override;
  [[nodiscard]] std::span<const std::string_view> terms() const override;
  void explain(const Question& question, const Prepared* prepared, const Judgement& judged,
               std::size_t candidate, std::span<double> values) const override;
  [[nodiscard]] bool absolute() const override { return true; }

 private:
  CongestionParameters p_;
};

}  // namespace optipod::extender
