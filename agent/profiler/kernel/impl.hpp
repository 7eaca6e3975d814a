// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/profiler/kernel.hpp"
#include "agent/profiler/kernel/cputime.hpp"
#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/plan.hpp"
#include "agent/profiler/kernel/programs.hpp"
#include "agent/profiler/kernel/slot_table.hpp"

namespace optipod::agent {

struct Kernel::Impl {
  kernel::Plan plan;
  std::string root_path;
  bool whole_machine = true;
  std::uint32_t slots = kFirstSlot;
  std::vector<unsigned> cpus;  ///< those that count
  std::uint64_t valid = 0;
  std::vector<shm::AgentRecord::Feature> features;
  std::string diagnostics;

  kernel::Mapping<bpf::SlotEntry> table_memory;
  kernel::SlotTable table;
  std::optional<kernel::CgroupPrograms> cgroup;
  std::optional<kernel::CpuPrograms> cpu;
  std::optional<kernel::BlockPrograms> block;
  std::optional<kernel::MemoryPrograms> memory;
  std::optional<kernel::TaskPrograms> tasks;
  std::optional<kernel::TcpPrograms> tcp;
  std::optional<kernel::IrqPrograms> irq;
  std::optional<kernel::QueuePrograms> queues;
  std::optional<kernel::DropPrograms> drops;
  std::optional<kernel::CounterPrograms> counters;
  std::optional<kernel::AllocationPrograms> allocations;
  int storage_fd = -1;  ///< of `cgroup`; -1: slots come from the table alone
  std::vector<kernel::LoadedProgram> programs;

  std::vector<bool> used;  ///< slots that ever had a cgroup
  SlotValues retired;      ///< what reset slots had counted for the node
  kernel::CpuTimeSplitter cpu_time;

  std::vector<std::string> failures;  ///< as Kernel::take_failures()

  void add(Slot slot, SlotValues& sum) const;
  /// Keeps a failed walk's cause, which is in errno; returns `ran`.
  bool check_walk(bool ran, const char* over);
  [[nodiscard]] bool charges() const {
    return cpu || block || irq || memory || tasks || tcp || counters || allocations;
  }
};

}  // namespace optipod::agent
