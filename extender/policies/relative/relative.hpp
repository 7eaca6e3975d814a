// SPDX-License-Identifier: Apache-2.0
//
// The first OptiPod's formula: eight rates, each against the candidates' mean of it. Formula,
// source and examples: docs/policies/relative.md
#pragma once

#include <array>
#include <string>

#include "extender/policies/policy.hpp"

namespace optipod::extender {

struct RelativeParameters {
  /// How much each group counts; not all zero.
  double memory_weight = 0.4, cpu_weight = 0.4, filesystem_weight = 0.2;
  /// Ratio to the candidates' mean up to which a rate is best, and from which it is worst. They sum
  /// to 2 or more, so that a node at the mean is not worse than one that is silent.
  double best_ratio = 0.5, worst_ratio = 2.0;
  bool operator==(const RelativeParameters&) const = default;
};

/// "" if they can be used; else what is wrong and what to do.
std::string problem(const RelativeParameters& parameters);

class Relative final : public Policy {
 public:
  /// `parameters` have no problem().
  explicit Relative(const RelativeParameters& parameters = {});

  [[nodiscard]] std::string_view name() const override { return "relative"; }
  [[nodiscard]] SignalSet needs() const override;
  [[nodiscard]] std::shared_ptr<const Prepared> prepare(const Snapshot& snapshot) const override;
  void judge(const Question& question, const Prepared* prepared, Judgement& out) const override;
  [[nodiscard]] std::span<const std::string_view> terms() const override;
  void explain(const Question& question, const Prepared* prepared, const Judgement& judged,
               std::size_t candidate, std::span<double> values) const override;
  [[nodiscard]] bool absolute() const override { return true; }

 private:
  static constexpr std::size_t kRates = 8;
  RelativeParameters p_;
  std::array<double, kRates> weight_{};  ///< of each rate; their sum is 1
};

}  // namespace optipod::extender
