// SPDX-License-Identifier: Apache-2.0
//
// First and second moments of what pods ask for: the demand that `pigeon`'s A_BINPACK keeps the
// cluster in proportion with.
#pragma once

#include <array>
#include <cstdint>

#include "extender/wire/resources.hpp"

namespace optipod::extender {

/// What a pod counts as: its requests, but 10m of CPU and 16 MiB of memory where it states none
/// (kube-safe-scheduler's pigeon).
wire::Resources demand_of(const wire::Resources& requests);

/// Of raw amounts (CPUs, bytes, …): mean[j] = E[x_j], second[j][k] = E[x_j x_k].
struct DemandMoments {
  std::uint64_t pods = 0;  ///< counted so far
  std::array<double, wire::kMostResources> mean{};
  std::array<std::array<double, wire::kMostResources>, wire::kMostResources> second{};

  /// Plain means of the first kMemory pods, then exponentially weighted by 1/kMemory each: kube-
  /// safe-scheduler's pigeon (smoothing factor 0.01).
  static constexpr std::uint64_t kMemory = 100;
  void add(const wire::Resources& request);
};

}  // namespace optipod::extender
