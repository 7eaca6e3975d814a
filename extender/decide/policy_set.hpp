// SPDX-License-Identifier: Apache-2.0
//
// The policies with one state of their parameters, and which of them stand behind /filter and
// /prioritize. Immutable: a changed file of parameters makes a new set.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "extender/policies/policy.hpp"

namespace optipod::extender {

struct WeightedPolicy {
  std::size_t policy = 0;  ///< index in the set
  double weight = 1;
};

using Combination = std::vector<WeightedPolicy>;

class PolicySet {
 public:
  explicit PolicySet(std::vector<std::unique_ptr<const Policy>> policies)
      : policies_(std::move(policies)) {}

  [[nodiscard]] std::size_t size() const { return policies_.size(); }
  [[nodiscard]] const Policy& operator[](std::size_t policy) const { return *policies_[policy]; }
  /// Index, or size() when there is none of that name.
  [[nodiscard]] std::size_t find(std::string_view name) const;

  /// "contention=2,safe" as a combination; a missing weight is 1. The error names what is wrong
  /// with which part, and which policies there are.
  [[nodiscard]] tl::expected<Combination, std::string> parse(std::string_view text) const;

  /// Behind /filter and /prioritize.
  Combination combination;

 private:
  std::vector<std::unique_ptr<const Policy>> policies_;
};

}  // namespace optipod::extender
