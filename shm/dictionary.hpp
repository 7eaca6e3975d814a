// SPDX-License-Identifier: Apache-2.0
//
// The field dictionary: every field of every record with its name, place, size and type, from which
// the ABI hash is computed at compile time. A field that is added, renamed, moved or retyped in
// records.hpp without its line here does not compile; with it, the hash is another one, and a
// reader built before refuses the segment instead of misreading it.
//
// Whoever changes a record: append the field, add its line, raise kAbiMinor in layout.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <type_traits>

#include "shm/records.hpp"

namespace optipod::shm {

/// FNV-1a, 64 bits: enough to tell layouts and accidents apart. It is no protection against intent;
/// that is what the checks on the file's owner and mode are for.
class Fnv1a {
 public:
  constexpr Fnv1a& byte(std::uint8_t b) {
    value_ = (value_ ^ b) * 0x100000001b3u;
    return *this;
  }
  constexpr Fnv1a& number(std::uint64_t n) {
    for (int i = 0; i < 8; ++i) byte(static_cast<std::uint8_t>(n >> (8 * i)));
    return *this;
  }
  constexpr Fnv1a& text(std::string_view s) {
    for (const char c : s) byte(static_cast<std::uint8_t>(c));
    return number(s.size());
  }
  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

struct Field {
  std::string_view name;
  std::size_t offset;
  std::size_t size;
  std::uint64_t type;  ///< type_hash of what the field holds
};

/// Dictionary<T>::kFields lists the fields of struct T in order.
template <class T>
struct Dictionary;

/// The fields follow each other without a gap and fill the struct.
template <class T>
constexpr bool covers_whole_struct() {
  std::size_t end = 0;
  for (const Field& f : Dictionary<T>::kFields) {
    if (f.offset != end) return false;
    end += f.size;
  }
  return end == sizeof(T);
}

template <class T>
constexpr std::uint64_t type_hash() {
  Fnv1a hash;
  if constexpr (std::is_array_v<T>) {
    hash.byte('[').number(std::extent_v<T>).number(type_hash<std::remove_extent_t<T>>());
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    hash.byte('u');
  } else if constexpr (std::is_same_v<T, char>) {
    hash.byte('c');
  } else {
    static_assert(covers_whole_struct<T>(),
                  "a field is missing in the dictionary, or out of order");
    for (const Field& f : Dictionary<T>::kFields) {
      hash.text(f.name).number(f.offset).number(f.size).number(f.type);
    }
  }
  return hash.value();
}

#define OPTIPOD_FIELD(Struct, field)                                                             \
  Field {                                                                                        \
    #field, offsetof(Struct, field), sizeof(Struct::field), type_hash<decltype(Struct::field)>() \
  }

template <>
struct Dictionary<Histogram> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(Histogram, bucket),
      OPTIPOD_FIELD(Histogram, sum_ns),
  };
};

template <>
struct Dictionary<CpuStats> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(CpuStats, runqueue_wait),
      OPTIPOD_FIELD(CpuStats, preemptions),
      OPTIPOD_FIELD(CpuStats, switches),
      OPTIPOD_FIELD(CpuStats, discarded),
  };
};

template <>
struct Dictionary<SchedulerStats> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(SchedulerStats, throttled_wait_ns),
      OPTIPOD_FIELD(SchedulerStats, throttled_waits),
      OPTIPOD_FIELD(SchedulerStats, throttled_switches),
      OPTIPOD_FIELD(SchedulerStats, migrations),
  };
};

template <>
struct Dictionary<QueueLengths> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(QueueLengths, looks),
      OPTIPOD_FIELD(QueueLengths, waiting),
  };
};

template <>
struct Dictionary<CpuTime> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(CpuTime, usage_ns),
      OPTIPOD_FIELD(CpuTime, user_ns),
      OPTIPOD_FIELD(CpuTime, system_ns),
  };
};

template <>
struct Dictionary<Pressure> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(Pressure, waiting_ns),
      OPTIPOD_FIELD(Pressure, stalled_ns),
  };
};

template <>
struct Dictionary<BlockStats> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(BlockStats, latency),
      OPTIPOD_FIELD(BlockStats, bytes),
      OPTIPOD_FIELD(BlockStats, inflight),
  };
};

template <>
struct Dictionary<MemoryStats> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(MemoryStats, reclaim_stall),
      OPTIPOD_FIELD(MemoryStats, oom_kills),
      OPTIPOD_FIELD(MemoryStats, page_faults),
  };
};

template <>
struct Dictionary<MemoryUse> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(MemoryUse, anon_bytes),        OPTIPOD_FIELD(MemoryUse, file_bytes),
      OPTIPOD_FIELD(MemoryUse, working_set_bytes), OPTIPOD_FIELD(MemoryUse, limit_bytes),
      OPTIPOD_FIELD(MemoryUse, refaults_anon),     OPTIPOD_FIELD(MemoryUse, refaults_file),
  };
};

template <>
struct Dictionary<FileStats> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(FileStats, calls),
      OPTIPOD_FIELD(FileStats, bytes),
  };
};

template <>
struct Dictionary<TcpStats> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(TcpStats, rtt),
      OPTIPOD_FIELD(TcpStats, bytes),
      OPTIPOD_FIELD(TcpStats, retransmitted_segments),
  };
};

template <>
struct Dictionary<HardwareCounters> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(HardwareCounters, cycles),
      OPTIPOD_FIELD(HardwareCounters, instructions),
      OPTIPOD_FIELD(HardwareCounters, cache_misses),
      OPTIPOD_FIELD(HardwareCounters, counted_ns),
  };
};

template <>
struct Dictionary<InterfaceStats> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(InterfaceStats, bytes),
      OPTIPOD_FIELD(InterfaceStats, packets),
      OPTIPOD_FIELD(InterfaceStats, errors),
      OPTIPOD_FIELD(InterfaceStats, drops),
  };
};

template <>
struct Dictionary<PacketDrops> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(PacketDrops, reason),
      OPTIPOD_FIELD(PacketDrops, packets),
  };
};

template <>
struct Dictionary<NodeRecord> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(NodeRecord, tick),
      OPTIPOD_FIELD(NodeRecord, sampled_boottime_ns),
      OPTIPOD_FIELD(NodeRecord, sampled_realtime_ns),
      OPTIPOD_FIELD(NodeRecord, valid),
      OPTIPOD_FIELD(NodeRecord, first_container),
      OPTIPOD_FIELD(NodeRecord, container_count),
      OPTIPOD_FIELD(NodeRecord, first_device),
      OPTIPOD_FIELD(NodeRecord, device_count),
      OPTIPOD_FIELD(NodeRecord, agent_index),
      OPTIPOD_FIELD(NodeRecord, containers_cut),
      OPTIPOD_FIELD(NodeRecord, cpus),
      OPTIPOD_FIELD(NodeRecord, cpu),
      OPTIPOD_FIELD(NodeRecord, cpu_time),
      OPTIPOD_FIELD(NodeRecord, cpu_mode_ns),
      OPTIPOD_FIELD(NodeRecord, pressure),
      OPTIPOD_FIELD(NodeRecord, pressure_irq_stalled_ns),
      OPTIPOD_FIELD(NodeRecord, memory_total_bytes),
      OPTIPOD_FIELD(NodeRecord, memory_available_bytes),
      OPTIPOD_FIELD(NodeRecord, node_name),
      OPTIPOD_FIELD(NodeRecord, kernel_release),
      OPTIPOD_FIELD(NodeRecord, cgroup_root),
      OPTIPOD_FIELD(NodeRecord, page_faults),
      OPTIPOD_FIELD(NodeRecord, memory_allocated_bytes),
      OPTIPOD_FIELD(NodeRecord, tcp_sent_segments),
      OPTIPOD_FIELD(NodeRecord, tcp_retransmitted_segments),
      OPTIPOD_FIELD(NodeRecord, memory),
      OPTIPOD_FIELD(NodeRecord, files),
      OPTIPOD_FIELD(NodeRecord, tcp),
      OPTIPOD_FIELD(NodeRecord, scheduler),
      OPTIPOD_FIELD(NodeRecord, softirq_ns),
      OPTIPOD_FIELD(NodeRecord, hardirq_ns),
      OPTIPOD_FIELD(NodeRecord, load_average_milli),
      OPTIPOD_FIELD(NodeRecord, tasks_runnable),
      OPTIPOD_FIELD(NodeRecord, tasks_blocked),
      OPTIPOD_FIELD(NodeRecord, first_neighbour),
      OPTIPOD_FIELD(NodeRecord, neighbour_count),
      OPTIPOD_FIELD(NodeRecord, neighbours_untold),
      OPTIPOD_FIELD(NodeRecord, interfaces),
      OPTIPOD_FIELD(NodeRecord, drop_count),
      OPTIPOD_FIELD(NodeRecord, drops),
      OPTIPOD_FIELD(NodeRecord, hardware),
      OPTIPOD_FIELD(NodeRecord, refaults_anon),
      OPTIPOD_FIELD(NodeRecord, refaults_file),
      OPTIPOD_FIELD(NodeRecord, far_migrations),
      OPTIPOD_FIELD(NodeRecord, queue_lengths),
  };
};

template <>
struct Dictionary<ContainerRecord> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(ContainerRecord, tick),
      OPTIPOD_FIELD(ContainerRecord, valid),
      OPTIPOD_FIELD(ContainerRecord, cgroup_id),
      OPTIPOD_FIELD(ContainerRecord, first_tick),
      OPTIPOD_FIELD(ContainerRecord, cpu),
      OPTIPOD_FIELD(ContainerRecord, cpu_time),
      OPTIPOD_FIELD(ContainerRecord, cpu_throttled_ns),
      OPTIPOD_FIELD(ContainerRecord, cpu_periods),
      OPTIPOD_FIELD(ContainerRecord, cpu_throttled_periods),
      OPTIPOD_FIELD(ContainerRecord, pressure),
      OPTIPOD_FIELD(ContainerRecord, block),
      OPTIPOD_FIELD(ContainerRecord, memory_current_bytes),
      OPTIPOD_FIELD(ContainerRecord, namespace_),
      OPTIPOD_FIELD(ContainerRecord, pod),
      OPTIPOD_FIELD(ContainerRecord, container),
      OPTIPOD_FIELD(ContainerRecord, pod_uid),
      OPTIPOD_FIELD(ContainerRecord, container_id),
      OPTIPOD_FIELD(ContainerRecord, qos),
      OPTIPOD_FIELD(ContainerRecord, memory),
      OPTIPOD_FIELD(ContainerRecord, memory_use),
      OPTIPOD_FIELD(ContainerRecord, files),
      OPTIPOD_FIELD(ContainerRecord, tcp),
      OPTIPOD_FIELD(ContainerRecord, scheduler),
      OPTIPOD_FIELD(ContainerRecord, irq_stolen_ns),
      OPTIPOD_FIELD(ContainerRecord, hardware),
      OPTIPOD_FIELD(ContainerRecord, far_migrations),
      OPTIPOD_FIELD(ContainerRecord, memory_allocated_bytes),
  };
};

template <>
struct Dictionary<NeighbourRecord> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(NeighbourRecord, tick),
      OPTIPOD_FIELD(NeighbourRecord, victim_cgroup_id),
      OPTIPOD_FIELD(NeighbourRecord, victim_first_tick),
      OPTIPOD_FIELD(NeighbourRecord, aggressor_cgroup_id),
      OPTIPOD_FIELD(NeighbourRecord, aggressor_first_tick),
      OPTIPOD_FIELD(NeighbourRecord, preemptions),
      OPTIPOD_FIELD(NeighbourRecord, taken_ns),
  };
};

template <>
struct Dictionary<DeviceRecord> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(DeviceRecord, tick),  OPTIPOD_FIELD(DeviceRecord, valid),
      OPTIPOD_FIELD(DeviceRecord, major), OPTIPOD_FIELD(DeviceRecord, minor),
      OPTIPOD_FIELD(DeviceRecord, block), OPTIPOD_FIELD(DeviceRecord, name),
  };
};

template <>
struct Dictionary<AgentRecord::Program> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(AgentRecord::Program, name),
      OPTIPOD_FIELD(AgentRecord::Program, runs),
      OPTIPOD_FIELD(AgentRecord::Program, run_ns),
  };
};

template <>
struct Dictionary<AgentRecord::Feature> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(AgentRecord::Feature, name),
      OPTIPOD_FIELD(AgentRecord::Feature, source),
      OPTIPOD_FIELD(AgentRecord::Feature, enabled),
  };
};

template <>
struct Dictionary<AgentRecord> {
  static constexpr Field kFields[] = {
      OPTIPOD_FIELD(AgentRecord, tick),
      OPTIPOD_FIELD(AgentRecord, cpu_user_ns),
      OPTIPOD_FIELD(AgentRecord, cpu_system_ns),
      OPTIPOD_FIELD(AgentRecord, resident_bytes),
      OPTIPOD_FIELD(AgentRecord, tick_duration_ns),
      OPTIPOD_FIELD(AgentRecord, ticks_missed),
      OPTIPOD_FIELD(AgentRecord, errors),
      OPTIPOD_FIELD(AgentRecord, program_count),
      OPTIPOD_FIELD(AgentRecord, feature_count),
      OPTIPOD_FIELD(AgentRecord, programs),
      OPTIPOD_FIELD(AgentRecord, features),
      OPTIPOD_FIELD(AgentRecord, version),
      OPTIPOD_FIELD(AgentRecord, container_cuts),
      OPTIPOD_FIELD(AgentRecord, more_programs),
      OPTIPOD_FIELD(AgentRecord, missed_runs),
      OPTIPOD_FIELD(AgentRecord, dropped),
  };
};

#undef OPTIPOD_FIELD

}  // namespace optipod::shm
