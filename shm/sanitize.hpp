// SPDX-License-Identifier: Apache-2.0
//
// What makes a copy of foreign bytes safe to use as a record, wherever they came from: texts end
// within their fields, and counts stay within their arrays.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "shm/records.hpp"

namespace optipod::shm {

template <std::size_t N>
void terminate(char (&text)[N]) {
  text[N - 1] = '\0';
}
inline void sanitize(NodeRecord& r) {
  terminate(r.node_name);
  terminate(r.kernel_release);
  terminate(r.cgroup_root);
}
inline void sanitize(ContainerRecord& r) {
  terminate(r.namespace_);
  terminate(r.pod);
  terminate(r.container);
  terminate(r.pod_uid);
  terminate(r.container_id);
  terminate(r.qos);
}
inline void sanitize(DeviceRecord& r) {
  terminate(r.name);
}
inline void sanitize(AgentRecord& r) {
  r.program_count = std::min<std::uint64_t>(r.program_count, AgentRecord::kMaxPrograms);
  r.feature_count = std::min<std::uint64_t>(r.feature_count, AgentRecord::kMaxFeatures);
  for (auto& p : r.programs) terminate(p.name);
  for (auto& f : r.features) {
    terminate(f.name);
    terminate(f.source);
  }
  terminate(r.version);
}
inline void sanitize(NeighbourRecord&) {}  // numbers only

}  // namespace optipod::shm
