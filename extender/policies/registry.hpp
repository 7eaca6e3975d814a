// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "extender/policies/congestion/congestion.hpp"
#include "extender/policies/contention/contention.hpp"
#include "extender/policies/pigeon/pigeon.hpp"
#include "extender/policies/policy.hpp"
#include "extender/policies/relative/relative.hpp"
#include "extender/policies/safe/safe.hpp"

namespace optipod::extender {

/// What is set for single policies, from the file of --policies (config/).
struct PolicyParameters {
  CongestionParameters congestion;
  ContentionParameters contention;
  PigeonParameters pigeon;
  RelativeParameters relative;
  SafeParameters safe;
  bool operator==(const PolicyParameters&) const = default;
};

/// Every policy there is. A new one is its folder and a line in registry.cpp.
std::vector<std::unique_ptr<const Policy>> make_policies(const PolicyParameters& parameters);

}  // namespace optipod::extender
