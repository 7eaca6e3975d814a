// SPDX-License-Identifier: Apache-2.0
//
// The nodes' time: the machine's, or one that begins in the past and catches up, so that minutes of
// a cluster's history are there after seconds.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace optipod::sim {

/// Immutable. Times are Unix ms.
struct NodeClock {
  std::int64_t begin_ms = 0;            ///< by the machine, when the nodes begin
  std::chrono::milliseconds behind{0};  ///< what their clocks lack then
  double speed = 1;                     ///< how fast these run until they are right; at least 1

  /// What they show when the machine shows `now_ms`: never later, and never less than before.
  [[nodiscard]] std::int64_t at(std::int64_t now_ms) const {
    const double since = static_cast<double>(std::max<std::int64_t>(now_ms - begin_ms, 0));
    const auto shown = static_cast<std::int64_t>(std::floor(since * speed));
    return std::min(now_ms, begin_ms - behind.count() + shown);
  }
};

}  // namespace optipod::sim
