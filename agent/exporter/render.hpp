// SPDX-License-Identifier: Apache-2.0
//
// Families and the records they are of, as a page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/exporter/families/families.hpp"
#include "agent/exporter/page.hpp"
#include "agent/exporter/selection.hpp"
#include "common/text/self_metrics.hpp"
#include "shm/tick.hpp"

namespace optipod::exporter {

/// What a page is to look like.
struct View {
  text::Format format = text::Format::kText;
  Selection selection;
  Buckets buckets = Buckets::kFull;
  bool workload = false;  ///< series of containers say what made the pod (workload.hpp)
  bool operator==(const View&) const = default;
};

/// Pure: the same tick and view give the same text, and nothing else is read. The object only keeps
/// its buffers from one call to the next. One thread at a time.
class Renderer {
 public:
  /// Appends the node, its containers and devices, and the agent. Values whose valid bit is clear
  /// are absent. Of records whose labels are equal (a container restarted while its old cgroup
  /// lingers) the one counted since the later tick is shown. Returns how many records that hid.
  std::size_t render(const shm::Tick& tick, const View& view, std::string& out);
  /// The same to a page of the view's format and buckets.
  std::size_t render(const shm::Tick& tick, const View& view, Page& page);

 private:
  std::vector<Row<shm::ContainerRecord>> containers_;
};

/// Appends optipod_agent_up, and optipod_sample_timestamp_seconds once a tick was ever read.
void render_status(const Status& status, const View& view, std::string& out);
/// Appends what the exporter says about itself.
void render_exporter(const ExporterState& state, const text::SelfMetrics& self, const View& view,
                     std::string& out);

}  // namespace optipod::exporter
