// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/profiler/cgroup_root.hpp"
#include "agent/profiler/entry_sampler.hpp"
#include "agent/profiler/interface_counters.hpp"
#include "agent/profiler/machine_counters.hpp"
#include "agent/profiler/read_file.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

/// Fills the node's record from what the kernel keeps anyway: procfs for the whole machine, the
/// root cgroup for a subtree of it.
class NodeSampler {
 public:
  /// Files below `proc` and `sys`: other places in tests.
  NodeSampler(CgroupRoot root, std::vector<unsigned> cpus, const std::string& node_name,
              std::string proc = "/proc", std::string sys = "/sys");

  /// `root_values`: the iterator's for the root cgroup, or null.
  void sample(const CgroupValues* root_values, shm::NodeRecord& node);
  /// "sda" for 8:0; "8:0" when it has no name.
  std::string device_name(std::uint32_t major, std::uint32_t minor);

 private:
  void sample_cpu(const CgroupValues* root_values, shm::NodeRecord& node);
  void sample_pressure(const CgroupValues* root_values, shm::NodeRecord& node);
  void sample_memory(shm::NodeRecord& node);

  CgroupRoot root_;
  bool whole_machine_;
  std::vector<unsigned> cpus_;
  std::string proc_, sys_;
  shm::NodeRecord identity_{};
  KeptFile cpu_stat_, meminfo_, memory_current_, memory_max_, memory_stat_,
      pressure_[shm::kResources], irq_;
  MachineCounters machine_;
  InterfaceCounters interfaces_;
  CpuTimeSince cpu_time_;
  PressureSince pressure_since_;
  Since irq_since_, modes_[shm::kCpuModes];
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::string> device_names_;
};

}  // namespace optipod::agent
