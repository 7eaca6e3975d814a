// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/demand.hpp"

#include <algorithm>

namespace optipod::extender {
namespace {

constexpr double kLeastCpu = 0.010;
constexpr double kLeastMemory = 16.0 * 1024 * 1024;

}  // namespace

wire::Resources demand_of(const wire::Resources& requests) {
  wire::Resources demand = requests;
  if (demand[wire::kCpu] <= 0) demand[wire::kCpu] = kLeastCpu;
  if (demand[wire::kMemory] <= 0) demand[wire::kMemory] = kLeastMemory;
  return demand;
}

void DemandMoments::add(const wire::Resources& request) {
  ++pods;
  const double weight = 1.0 / static_cast<double>(std::min(pods, kMemory));
  for (std::size_t j = 0; j < wire::kMostResources; ++j) {
    mean[j] += weight * (request[j] - mean[j]);
    for (std::size_t k = 0; k < wire::kMostResources; ++k) {
      second[j][k] += weight * (request[j] * request[k] - second[j][k]);
    }
  }
}

}  // namespace optipod::extender
