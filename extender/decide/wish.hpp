// SPDX-License-Identifier: Apache-2.0
//
// What a pod says of itself in its annotations.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "extender/decide/policy_set.hpp"
#include "extender/policies/policy.hpp"
#include "extender/wire/pod.hpp"

namespace optipod::extender {

struct Wish {
  /// optipod.dev/profile: cpu, memory, io or network: what the pod waits for most; the other three
  /// kinds of waiting count a quarter. none: it does not mind at all.
  Sensitivity sensitivity;
  /// optipod.dev/policy: "NAME[=WEIGHT],…"; absent: the configured combination.
  std::optional<Combination> policies;
  /// Annotations that cannot be taken, and why; they count as absent. Of very many the first, and
  /// how many more: whoever may make a pod fills them.
  std::vector<std::string> problems;
};

inline constexpr double kMinor = 0.25;  ///< sensitivity to what the profile does not name

inline constexpr std::size_t kMostProblems = 8;  ///< named one by one

Wish wish_of(const wire::Pod& pod, const PolicySet& policies);

}  // namespace optipod::extender
