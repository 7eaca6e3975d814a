// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "agent/profiler/kernel_source.hpp"
#include "agent/profiler/read_file.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

/// Fills the agent's record with its own cost and what this kernel gives.
class SelfSampler {
 public:
  SelfSampler(const KernelSource& kernel, std::vector<shm::AgentRecord::Feature> more_features);
  /// Leaves ticks_missed, tick_duration_ns and errors to the caller.
  void sample(shm::AgentRecord& agent) const;

 private:
  const KernelSource& kernel_;
  std::vector<shm::AgentRecord::Feature> features_;
  KeptFile statm_;
};

shm::AgentRecord::Feature make_feature(std::string_view name, std::string_view source,
                                       bool enabled);

}  // namespace optipod::agent
