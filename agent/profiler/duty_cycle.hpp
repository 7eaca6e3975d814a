// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace optipod::agent {

/// When something dear is done for a while and then left alone. Pure.
struct DutyCycle {
  std::chrono::milliseconds window{10'000}, period{60'000};

  /// `running`: how long the agent has; its first window begins with it.
  [[nodiscard]] constexpr bool open(std::chrono::milliseconds running) const {
    return running % period < window;
  }
};

}  // namespace optipod::agent
