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
/// Before ABI 1.3 the one bit stood for both.
inline void imply_block_bytes(std::uint64_t& valid) {
  if ((valid & kValidBlockIo) != 0) valid |= kValidBlockBytes;
}
inline void sanitize(NodeRecord& r) {
  terminate(r.node_name);
  terminate(r.kernel_release);
  terminate(r.cgroup_root);
  r.drop_count = std::min<std::uint64_t>(r.drop_count, kDropReasonsKept);
  for (auto& d : r.drops) terminate(d.reason);
}
inline void sanitize(ContainerRecord& r) {
  imply_block_bytes(r.valid);
  terminate(r.namespace_);
  terminate(r.pod);
  terminate(r.container);
  terminate(r.pod_uid);
  terminate(r.container_id);
  terminate(r.qos);
}
inline void sanitize(DeviceRecord& r) {
  imply_block_bytes(r.valid);
  terminate(r.name);
}
inline void sanitize(AgentRecord& r) {
  r.program_count = std::min<std::uint64_t>(r.program_count, AgentRecord::kMaxPrograms);
  r.feature_count = std::min<std::uint64_t>(r.feature_count, AgentRecord::kMaxFeatures);
  for (std::size_t i = 0; i < AgentRecord::kMaxPrograms; ++i) terminate(r.program(i).name);
  for (auto& f : r.features) {
    terminate(f.name);
    terminate(f.source);
  }
  terminate(r.version);
}
inline void sanitize(NeighbourRecord&) {}  // numbers only

}  // namespace optipod::shm
