// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/demand.hpp"

#include <algorithm>

namespace optipod::extender {

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
