// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "extender/policies/contention/contention.hpp"
#include "extender/policies/policy.hpp"

namespace optipod::extender {

/// What flags set for single policies.
struct PolicyParameters {
  ContentionParameters contention;
};

/// Every policy there is. A new one is its folder and a line in registry.cpp.
std::vector<std::unique_ptr<const Policy>> make_policies(const PolicyParameters& parameters);

}  // namespace optipod::extender
