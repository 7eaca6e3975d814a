// SPDX-License-Identifier: Apache-2.0
//
// The kernel measures how long tasks ran exactly, but samples at clock ticks whether that was in
// user or in kernel mode. cpu.stat scales the samples to the exact sum and never lets either part
// go backwards; the iterator gives the raw three, and this makes the same two of them.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "shm/records.hpp"

namespace optipod::agent::kernel {

/// Splits one cgroup's (or task's) time. `before`: the result of the last call for it, or zeroes.
[[nodiscard]] shm::CpuTime split_cpu_time(std::uint64_t exec_ns, std::uint64_t user_ticks_ns,
                                          std::uint64_t system_ticks_ns,
                                          const shm::CpuTime& before);

/// The last result of every cgroup seen in this or the previous walk.
class CpuTimeSplitter {
 public:
  shm::CpuTime split(std::uint64_t cgroup_id, std::uint64_t exec_ns, std::uint64_t user_ticks_ns,
                     std::uint64_t system_ticks_ns);
  /// Ends a walk: forgets cgroups that it did not meet.
  void end_walk();

 private:
  struct Entry {
    shm::CpuTime time{};
    std::uint64_t walk = 0;
  };
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::uint64_t walk_ = 0;
};

}  // namespace optipod::agent::kernel
