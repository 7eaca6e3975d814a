// SPDX-License-Identifier: Apache-2.0
//
// A tick as text: everything docs/metrics.md section 1 lists, except what the exporter says about
// itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shm/tick.hpp"

namespace optipod::exporter {

/// Pure: the same tick gives the same text, and nothing is read but the tick. The object only keeps
/// its buffers from one call to the next. One thread at a time.
class Renderer {
 public:
  /// Appends the node, its containers and devices, and the agent. Values whose valid bit is clear
  /// are absent. Of records whose labels are equal (a container restarted while its old cgroup
  /// lingers) the one counted since the later tick is shown. Returns how many records that hid.
  std::size_t render(const shm::Tick& tick, std::string& out);

 private:
  struct Container {
    std::string labels;  ///< namespace="..",pod="..",container=".."
    const shm::ContainerRecord* record;
  };
  std::vector<Container> containers_;  ///< the first shown_ are of this tick
  std::size_t shown_ = 0;

  std::size_t collect(const shm::Tick& tick);
};

/// Appends optipod_agent_up, and optipod_sample_timestamp_seconds once a tick was ever read.
void render_status(bool up, std::optional<std::uint64_t> sampled_realtime_ns, std::string& out);

}  // namespace optipod::exporter
