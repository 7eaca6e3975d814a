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
  void judge(const Question& question, Judgement& out) const override;
};

}  // namespace optipod::extender
