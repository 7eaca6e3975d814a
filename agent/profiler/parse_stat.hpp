// SPDX-License-Identifier: Apache-2.0
//
// What the files of procfs and cgroupfs say. Pure; what is missing or malformed is absent.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "agent/profiler/kernel.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

struct CpuStatFile {
  std::optional<shm::CpuTime> time;
  std::optional<CpuThrottling> throttling;  ///< only where the cpu controller is on
};
CpuStatFile parse_cpu_stat(std::string_view text);

struct PressureFile {
  std::optional<std::uint64_t> waiting_ns;  ///< the "some" line (there is none for irq)
  std::uint64_t stalled_ns = 0;             ///< the "full" line; 0 where there is none
};
/// nullopt: no pressure file.
std::optional<PressureFile> parse_pressure(std::string_view text);

/// /proc/stat summed over these CPUs (empty: the whole machine), in ns.
struct CpuModes {
  std::uint64_t ns[shm::kCpuModes];
};
std::optional<CpuModes> parse_proc_stat(std::string_view text, std::span<const unsigned> cpus,
                                        std::uint64_t ticks_per_second);

struct MemInfo {
  std::uint64_t total_bytes, available_bytes;
};
std::optional<MemInfo> parse_meminfo(std::string_view text);

/// Pages that were given up and soon needed again; told apart since 5.9.
struct Refaults {
  std::uint64_t anon, file;
};

/// /proc/vmstat, since boot.
struct VmStat {
  std::uint64_t page_faults;      ///< minor and major
  std::uint64_t pages_allocated;  ///< handed out by the page allocator, over all zones
  std::optional<std::uint64_t> major_faults;
  std::optional<std::uint64_t> oom_kills;  ///< 4.13
  std::optional<Refaults> refaults;
};
std::optional<VmStat> parse_vmstat(std::string_view text);

/// memory.stat of a cgroup on v2.
struct MemoryStat {
  std::uint64_t anon_bytes, file_bytes, inactive_file_bytes;
  std::optional<Refaults> refaults;
  struct Faults {
    std::uint64_t minor, major;
  };
  std::optional<Faults> faults;
};
std::optional<MemoryStat> parse_memory_stat(std::string_view text);

/// What is in use and cannot simply be given up, by the kubelet's rule.
std::uint64_t working_set(std::uint64_t current_bytes, std::uint64_t inactive_file_bytes);

/// oom_kill of memory.events: processes killed.
std::optional<std::uint64_t> parse_oom_kills(std::string_view text);

/// /proc/loadavg, in thousandths.
struct LoadAverage {
  std::uint64_t milli[3];  ///< of 1, 5 and 15 minutes
};
std::optional<LoadAverage> parse_loadavg(std::string_view text);

/// The procs_* lines of /proc/stat.
struct TaskCounts {
  std::uint64_t runnable, blocked;
};
std::optional<TaskCounts> parse_task_counts(std::string_view text);

/// The Tcp lines of /proc/net/snmp. The kernel counts a segment that is sent again only as that.
struct TcpSegments {
  std::uint64_t sent_first, retransmitted;
};
std::optional<TcpSegments> parse_snmp_tcp(std::string_view text);

/// A line of /proc/net/dev. `name` is part of the text.
struct NetDevice {
  std::string_view name;
  shm::InterfaceStats counts;
};
/// nullopt: not such a file.
std::optional<std::vector<NetDevice>> parse_net_dev(std::string_view text);

/// A line of /proc/diskstats: a disk or a partition. `name` is part of the text.
struct DiskStat {
  std::uint64_t major, minor;
  std::string_view name;
  std::uint64_t bytes[shm::kOperations];
};
std::vector<DiskStat> parse_diskstats(std::string_view text);
/// /sys/block/DISK/inflight: requests to read and to write.
std::optional<std::array<std::uint64_t, shm::kOperations>> parse_inflight(std::string_view text);

/// A file that is one number; "max" and everything else is nullopt.
std::optional<std::uint64_t> parse_number_file(std::string_view text);

}  // namespace optipod::agent
