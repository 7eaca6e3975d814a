// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/profiler/kernel_source.hpp"
#include "agent/profiler/memory_sampler.hpp"
#include "agent/profiler/read_file.hpp"
#include "agent/profiler/since.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

/// Since for the values a cgroup (or the node) has beside its slot.
struct CpuTimeSince {
  Since usage, user, system;
  void start_at_zero();
  shm::CpuTime operator()(const shm::CpuTime& now);
};
struct PressureSince {
  Since waiting[shm::kResources], stalled[shm::kResources];
  void start_at_zero();
};

inline constexpr const char* kPressureFiles[shm::kResources] = {"cpu.pressure", "memory.pressure",
                                                                "io.pressure"};
inline constexpr std::uint64_t kPressureValid[shm::kResources] = {
    shm::kValidPressureCpu, shm::kValidPressureMemory, shm::kValidPressureIo};

/// Fills the part of one cgroup's record that does not come from its slot: from the cgroup iterator
/// where it gave a value, else from the cgroup's files. Opens a file the first time it is needed.
class EntrySampler {
 public:
  /// `fresh`: the cgroup was made while the agent watched, so all it has used is counted.
  EntrySampler(std::string directory, bool fresh);

  /// `values` may be null. Sets valid bits for what was read; leaves the rest as it is.
  void sample(const CgroupValues* values, std::uint64_t tick, shm::ContainerRecord& record);

 private:
  struct LazyFile {
    KeptFile file;
    bool tried = false;
    std::string_view read(const std::string& directory, const char* name);
  };
  void read_throttling(std::uint64_t tick, shm::ContainerRecord& record);
  void set_throttling(const CpuThrottling& now, shm::ContainerRecord& record);

  std::string directory_;
  CpuTimeSince cpu_time_;
  PressureSince pressure_;
  Since throttled_, periods_, throttled_periods_;
  bool has_quota_ = false, knows_quota_ = false, had_throttling_ = false;
  MemorySampler memory_detail_;
  LazyFile cpu_stat_, cpu_max_, memory_, pressure_files_[shm::kResources];
};

}  // namespace optipod::agent
