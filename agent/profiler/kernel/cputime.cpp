// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/cputime.hpp"

#include <algorithm>

namespace optipod::agent::kernel {

shm::CpuTime split_cpu_time(std::uint64_t exec_ns, std::uint64_t user_ticks_ns,
                            std::uint64_t system_ticks_ns, const shm::CpuTime& before) {
  if (before.usage_ns >= exec_ns) return before;  // nothing ran since
  std::uint64_t system_ns = 0;
  if (user_ticks_ns == 0) {
    system_ns = system_ticks_ns == 0 ? 0 : exec_ns;  // no tick met it at all: call it user time
  } else if (system_ticks_ns != 0) {
    const auto ticks = static_cast<double>(user_ticks_ns) + static_cast<double>(system_ticks_ns);
    const double share = static_cast<double>(system_ticks_ns) / ticks;
    system_ns = std::min(exec_ns, static_cast<std::uint64_t>(static_cast<double>(exec_ns) * share));
  }
  // Both parts only grow, and together grow by what the whole did.
  system_ns = std::clamp(system_ns, before.system_ns, exec_ns - before.user_ns);
  return {.usage_ns = exec_ns, .user_ns = exec_ns - system_ns, .system_ns = system_ns};
}

shm::CpuTime CpuTimeSplitter::split(std::uint64_t cgroup_id, std::uint64_t exec_ns,
                                    std::uint64_t user_ticks_ns, std::uint64_t system_ticks_ns) {
  Entry& entry = entries_[cgroup_id];
  entry.walk = walk_;
  entry.time = split_cpu_time(exec_ns, user_ticks_ns, system_ticks_ns, entry.time);
  return entry.time;
}

void CpuTimeSplitter::end_walk() {
  std::erase_if(entries_, [this](const auto& item) { return item.second.walk + 1 < walk_; });
  ++walk_;
}

}  // namespace optipod::agent::kernel
