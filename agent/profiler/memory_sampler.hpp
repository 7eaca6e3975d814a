// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "agent/profiler/since.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

/// What a cgroup's memory controller says beyond how much is used. Its files are dear (the kernel
/// sums up all CPUs for memory.stat), so they are read once in some ticks and stand until then.
class MemorySampler {
 public:
  /// `fresh`: the cgroup was made while the agent watched, so all it has counted is counted.
  MemorySampler(std::string directory, bool fresh);

  /// Fills record.memory_use; record.memory only with what no program has counted. Sets valid bits
  /// for what was read.
  void sample(std::uint64_t tick, shm::ContainerRecord& record);

 private:
  void read(shm::ContainerRecord& record);

  std::string directory_;
  Since refaults_anon_, refaults_file_, minor_, major_, oom_kills_;
  bool read_before_ = false;
  std::uint64_t valid_ = 0;  ///< of the last read
};

}  // namespace optipod::agent
