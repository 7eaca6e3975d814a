// SPDX-License-Identifier: Apache-2.0
//
// The shortest policy there is, to copy: the fewest CPUs busy. docs/policies/template.md
#pragma once

#include "extender/policies/policy.hpp"

namespace optipod::extender {

class Template final : public Policy {
 public:
  [[nodiscard]] std::string_view name() const override { return "template"; }
  [[nodiscard]] SignalSet needs() const override {
    return SignalSet(Signal::kCpuUtilization15s, Signal::kCpuUtilization1m);
  }
  void judge(const Question& question, const Prepared* prepared, Judgement& out) const override;
  [[nodiscard]] std::span<const std::string_view> terms() const override;
  void explain(const Question& question, const Prepared* prepared, const Judgement& judged,
               std::size_t candidate, std::span<double> values) const override;
};

}  // namespace optipod::extender
