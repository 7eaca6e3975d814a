// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/ranking.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace optipod::extender {

/// Of four at a time: one after the other each would wait for the one before.
std::pair<double, double> range_of(std::span<const double> values) {
  constexpr std::size_t kLanes = 4;
  std::array<double, kLanes> low, high;
  low.fill(values.front());
  high.fill(values.front());
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      low[lane] = std::min(low[lane], values[i + lane]);
      high[lane] = std::max(high[lane], values[i + lane]);
    }
  }
  for (; i < values.size(); ++i) {
    low[0] = std::min(low[0], values[i]);
    high[0] = std::max(high[0], values[i]);
  }
  return {std::ranges::min(low), std::ranges::max(high)};
}

}  // namespace optipod::extender
