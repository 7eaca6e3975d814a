// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "agent/profiler/kernel_source.hpp"
#include "agent/profiler/read_file.hpp"
#include "shm/tick.hpp"

namespace optipod::agent {

/// Fills the agent's record with its own cost and what this kernel gives.
class SelfSampler {
 public:
  SelfSampler(const KernelSource& kernel, std::vector<shm::AgentRecord::Feature> more_features);
  /// Fills tick.agent, except ticks_missed, tick_duration_ns, errors and container_cuts, and sets
  /// the bits of it in tick.node.valid.
  void sample(shm::Tick& tick) const;

 private:
  void sample_programs(shm::Tick& tick) const;

  const KernelSource& kernel_;
  std::vector<shm::AgentRecord::Feature> features_;
  KeptFile statm_;
};

shm::AgentRecord::Feature make_feature(std::string_view name, std::string_view source,
                                       bool enabled);

}  // namespace optipod::agent
