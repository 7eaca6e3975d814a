// SPDX-License-Identifier: Apache-2.0
//
// How safe a node is from overload: the probability that its utilisation, with the pod, exceeds a
// threshold, and how far from balanced it would be. Formula, source and examples:
// docs/policies/safe.md
#pragma once

#include <string>

#include "extender/policies/policy.hpp"
#include "extender/policies/safe/risk.hpp"

namespace optipod::extender {

/// Over what time mean and standard deviation are taken.
enum class SafeWindow : std::uint8_t { k15m, k1h, k24h };

struct SafeParameters {
  double utilization = 0.9;  ///< beyond it a node is overloaded; SAFEUTILIZATION / 100
  double percentile = 0.3;   ///< probability of overload that is tolerated; SAFEPERCENTILE / 100
  double forecast_weight = 0.2;  ///< of the forecast against the mean; SAFEFORECASTWEIGHT / 100
  SafeWindow window = SafeWindow::k1h;
  /// How much each score counts; not both 0.
  double overload_weight = 1, balance_weight = 1;
  /// Whether /filter rejects nodes whose risk is not tolerated.
  bool reject = false;
  bool operator==(const SafeParameters&) const = default;
};

/// "" if they can be used; else what is wrong and what to do.
std::string problem(const SafeParameters& parameters);

class Safe final : public Policy {
 public:
  /// `parameters` have no problem().
  explicit Safe(const SafeParameters& parameters = {}) : p_(parameters), risk_(p_.utilization) {}

  [[nodiscard]] std::string_view name() const override { return "safe"; }
  [[nodiscard]] SignalSet needs() const override;
  [[nodiscard]] std::shared_ptr<const Prepared> prepare(const Snapshot& snapshot) const override;
  void judge(const Question& question, const Prepared* prepared, Judgement& out) const override;
  [[nodiscard]] std::span<const std::string_view> terms() const override;
  void explain(const Question& question, const Prepared* prepared, const Judgement& judged,
               std::size_t candidate, std::span<double> values) const override;
  [[nodiscard]] bool rejects() const override { return p_.reject; }
  [[nodiscard]] std::string_view reject_reason() const override {
    return "optipod: too likely to be overloaded";
  }

 private:
  SafeParameters p_;
  RiskTable risk_;
};

}  // namespace optipod::extender
