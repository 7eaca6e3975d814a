// SPDX-License-Identifier: Apache-2.0
//
// What is measured alike of several subjects: of the node and of each container, of disks and of
// containers.
#pragma once

#include <array>
#include <vector>

#include "agent/exporter/family.hpp"
#include "shm/records.hpp"

namespace optipod::exporter {

using text::MetricType;

inline constexpr std::array<Label, shm::kPreemptedByCount> kBy = {
    {{"by", "self"}, {"by", "other"}, {"by", "system"}}};
inline constexpr std::array<Label, shm::kSwitchKinds> kKind = {
    {{"kind", "voluntary"}, {"kind", "involuntary"}}};
inline constexpr std::array<Label, shm::kOperations> kOperation = {
    {{"operation", "read"}, {"operation", "write"}}};
inline constexpr std::array<Label, shm::kFarMigrations> kFarTo = {
    {{"to", "cache"}, {"to", "node"}}};
inline constexpr std::array<Label, 2> kRefaultType = {{{"type", "anon"}, {"type", "file"}}};
inline constexpr std::array<Label, shm::kReclaimKinds> kReclaimKind = {
    {{"kind", "direct"}, {"kind", "memcg"}}};
inline constexpr std::array<Label, shm::kFaultKinds> kFaultKind = {
    {{"kind", "minor"}, {"kind", "major"}}};

template <class T>
void append(std::vector<T>& to, const auto& more) {
  to.insert(to.end(), more.begin(), more.end());
}

/// Of a Record with `cpu` and `cpu_time`.
template <class Record>
auto cpu_families(Subject subject) {
  constexpr std::string_view kCpuTimeParts =
      "as the whole; split as the kernel does, by what the timer's ticks met";
  return std::to_array<Family<Record>>({
      {{subject, Topic::kCpu, "cpu_runqueue_wait_seconds", MetricType::kHistogram, "seconds", "",
        "`sched_switch`: the run queue's clock less `sched_info.last_queued`",
        "Time a runnable task waited for a CPU, per dispatch.",
        "too many runnable tasks for the CPUs, or a CPU limit of its own (see throttling)"},
       shm::kValidRunqueueWait,
       [](Series& s, const Record& r) { s.histogram(r.cpu.runqueue_wait); }},
      {{subject, Topic::kCpu, "cpu_preemptions_total", MetricType::kCounter, "",
        "by={self,other,system}",
        "`sched_switch`: whose task comes while the one that goes could have gone on",
        "Running tasks displaced by a task of the same cgroup (self), of another cgroup (other) or "
        "by a kernel thread (system).",
        "`other`: noisy neighbours; `self`: more threads than CPUs; `system`: kernel work"},
       shm::kValidPreemptions,
       [](Series& s, const Record& r) { s.values(kBy, r.cpu.preemptions); }},
      {{subject, Topic::kCpu, "context_switches_total", MetricType::kCounter, "",
        "kind={voluntary,involuntary}", "`sched_switch`",
        "Context switches away from a task that blocked (voluntary) or could have gone on "
        "(involuntary).",
        "`involuntary`: competition for CPUs; `voluntary`: much waiting for others or for I/O"},
       shm::kValidSwitches,
       [](Series& s, const Record& r) { s.values(kKind, r.cpu.switches); }},
      {{subject, Topic::kCpu, "cpu_usage_seconds_total", MetricType::kCounter, "seconds", "",
        "`iter.s/cgroup`, else `cpu.stat`; of the whole machine `/proc/stat`", "CPU time used.",
        "busy; alone no sign of contention"},
       shm::kValidCpuTime,
       [](Series& s, const Record& r) { s.seconds(r.cpu_time.usage_ns); }},
      {{subject, Topic::kCpu, "cpu_user_seconds_total", MetricType::kCounter, "seconds", "",
        kCpuTimeParts, "CPU time used in user mode.", "the programs compute"},
       shm::kValidCpuTime,
       [](Series& s, const Record& r) { s.seconds(r.cpu_time.user_ns); }},
      {{subject, Topic::kCpu, "cpu_system_seconds_total", MetricType::kCounter, "seconds", "",
        kCpuTimeParts, "CPU time used in the kernel.",
        "many system calls, page faults or interrupts"},
       shm::kValidCpuTime,
       [](Series& s, const Record& r) { s.seconds(r.cpu_time.system_ns); }},
  });
}

/// Of a Record with `scheduler`.
template <class Record>
auto scheduler_families(Subject subject) {
  return std::to_array<Family<Record>>({
      {{subject, Topic::kCpu, "cpu_throttled_wait_seconds_total", MetricType::kCounter, "seconds",
        "",
        "`sched_switch`: `cfs_rq.throttled_clock_self_time` (Linux 6.6; before by another clock)",
        "Part of the run-queue wait in which the task's own CPU limit was used up.",
        "its limit is too low; what remains of the wait is contention"},
       shm::kValidThrottledWait,
       [](Series& s, const Record& r) { s.seconds(r.scheduler.throttled_wait_ns); }},
      {{subject, Topic::kCpu, "cpu_throttled_waits_total", MetricType::kCounter, "", "", "as above",
        "Dispatches whose wait had such a part.", ""},
       shm::kValidThrottledWait,
       [](Series& s, const Record& r) { s.value(r.scheduler.throttled_waits); }},
      {{subject, Topic::kCpu, "cpu_throttled_switches_total", MetricType::kCounter, "", "",
        "`sched_switch`: `cfs_rq.throttle_count`",
        "Involuntary context switches because the own CPU limit was used up; no preemptions.",
        "its limit is too low: no fault of the node"},
       shm::kValidThrottledWait,
       [](Series& s, const Record& r) { s.value(r.scheduler.throttled_switches); }},
      {{subject, Topic::kCpu, "cpu_migrations_total", MetricType::kCounter, "", "",
        "`sched_migrate_task`, charged to the task that is moved", "Tasks moved to another CPU.",
        "caches start cold each time; too many runnable tasks"},
       shm::kValidMigrations,
       [](Series& s, const Record& r) { s.value(r.scheduler.migrations); }},
      {{subject, Topic::kCpu, "cpu_far_migrations_total", MetricType::kCounter, "",
        "to={cache,node}",
        "`sched_migrate_task`; `cache/` and `node*` of `/sys/devices/system/cpu`",
        "Tasks moved to a CPU with another last level cache (cache) or of another NUMA node "
        "(node).",
        "`cache`: all it had there is fetched again; `node`: its memory is far away now"},
       shm::kValidFarMigrations,
       [](Series& s, const Record& r) { s.values(kFarTo, r.far_migrations); }},
  });
}

/// Of a Record with `pressure`.
template <class Record>
auto pressure_families(Subject subject) {
  constexpr std::string_view kSource =
      "`iter.s/cgroup` (`cgroup.psi`), else the pressure files; at most 2 s old";
  return std::to_array<Family<Record>>({
      {{subject, Topic::kPressure, "pressure_cpu_waiting_seconds_total", MetricType::kCounter,
        "seconds", "", kSource,
        "Time some task waited for a CPU (PSI). A CPU limit of its own counts here too.",
        "a rate near 1: some task always waits; its own limit looks the same"},
       shm::kValidPressureCpu,
       [](Series& s, const Record& r) { s.seconds(r.pressure.waiting_ns[shm::kCpu]); }},
      {{subject, Topic::kPressure, "pressure_cpu_stalled_seconds_total", MetricType::kCounter,
        "seconds", "", kSource, "Time all tasks waited for a CPU (PSI).",
        "nothing of it could run: mostly its own limit"},
       shm::kValidPressureCpu,
       [](Series& s, const Record& r) { s.seconds(r.pressure.stalled_ns[shm::kCpu]); }},
      {{subject, Topic::kPressure, "pressure_memory_waiting_seconds_total", MetricType::kCounter,
        "seconds", "", kSource, "Time some task waited for memory (PSI).",
        "reclaim and refaults: memory is short"},
       shm::kValidPressureMemory,
       [](Series& s, const Record& r) { s.seconds(r.pressure.waiting_ns[shm::kMemory]); }},
      {{subject, Topic::kPressure, "pressure_memory_stalled_seconds_total", MetricType::kCounter,
        "seconds", "", kSource, "Time all tasks waited for memory (PSI).",
        "thrashing: no work is done for lack of memory"},
       shm::kValidPressureMemory,
       [](Series& s, const Record& r) { s.seconds(r.pressure.stalled_ns[shm::kMemory]); }},
      {{subject, Topic::kPressure, "pressure_io_waiting_seconds_total", MetricType::kCounter,
        "seconds", "", kSource, "Time some task waited for I/O (PSI).",
        "disks, or the page cache, are too slow for the load"},
       shm::kValidPressureIo,
       [](Series& s, const Record& r) { s.seconds(r.pressure.waiting_ns[shm::kIo]); }},
      {{subject, Topic::kPressure, "pressure_io_stalled_seconds_total", MetricType::kCounter,
        "seconds", "", kSource, "Time all tasks waited for I/O (PSI).",
        "no work is done for waiting for I/O"},
       shm::kValidPressureIo,
       [](Series& s, const Record& r) { s.seconds(r.pressure.stalled_ns[shm::kIo]); }},
  });
}

/// Of a Record with `block`; `labels` are those of its series.
template <class Record>
auto block_families(Subject subject, std::string_view labels) {
  return std::to_array<Family<Record>>({
      {{subject, Topic::kBlock, "block_io_latency_seconds", MetricType::kHistogram, "seconds",
        labels, "`block_io_start` and `block_io_done`; before Linux 6.5 `block_rq_*`",
        "Time from the submission of a block request to its completion.",
        "the device is slow, or its queue is long"},
       shm::kValidBlockIo,
       [](Series& s, const Record& r) { s.histograms(kOperation, r.block.latency); }},
      {{subject, Topic::kBlock, "block_io_bytes_total", MetricType::kCounter, "bytes", labels,
        "as the latency; of disks without eBPF `/proc/diskstats`",
        "Bytes of completed block requests.",
        "much traffic to the device; see the latency for whether it copes"},
       shm::kValidBlockBytes,
       [](Series& s, const Record& r) { s.values(kOperation, r.block.bytes); }},
      {{subject, Topic::kBlock, "block_io_inflight", MetricType::kGauge, "", labels,
        "as the latency; of disks without eBPF `/sys/block/*/inflight`",
        "Block requests submitted and not yet completed.", "a long queue at the device"},
       shm::kValidBlockBytes,
       [](Series& s, const Record& r) { s.values(kOperation, r.block.inflight); }},
  });
}

/// Of a Record with `memory`.
template <class Record>
auto memory_families(Subject subject) {
  return std::to_array<Family<Record>>({
      {{subject, Topic::kMemory, "memory_reclaim_stall_seconds", MetricType::kHistogram, "seconds",
        "kind={direct,memcg}", "`mm_vmscan_{direct,memcg}_reclaim_{begin,end}`",
        "Time a task had to free memory itself before it got some, because the machine had none "
        "(direct) or a memory limit was reached (memcg).",
        "`direct`: the node is short of memory; `memcg`: the container's limit is too low"},
       shm::kValidReclaimStall,
       [](Series& s, const Record& r) { s.histograms(kReclaimKind, r.memory.reclaim_stall); }},
      {{subject, Topic::kMemory, "oom_kills_total", MetricType::kCounter, "", "",
        "`mark_victim` (Linux 6.9), else `memory.events`; of the whole machine `/proc/vmstat`",
        "Processes killed for lack of memory.",
        "any: the limit, or the node, is too small for what runs"},
       shm::kValidOomKills,
       [](Series& s, const Record& r) { s.value(r.memory.oom_kills); }},
      {{subject, Topic::kMemory, "memory_page_faults_total", MetricType::kCounter, "",
        "kind={minor,major}",
        "`min_flt`, `maj_flt` of each task, else `memory.stat`; of the whole machine "
        "`/proc/vmstat`",
        "Page faults without (minor) and with (major) a wait for a disk.",
        "`major`: programs wait for pages that were given up, or are read the first time"},
       shm::kValidPageFaults,
       [](Series& s, const Record& r) { s.values(kFaultKind, r.memory.page_faults); }},
  });
}

/// Of a Record with `files`.
template <class Record>
auto filesystem_families(Subject subject) {
  constexpr std::string_view kSource =
      "`ioac` of each task, as in `/proc/PID/io`: on files, pipes and sockets, cached or not; "
      "not `send()` and `recv()`";
  return std::to_array<Family<Record>>({
      {{subject, Topic::kFilesystem, "filesystem_reads_total", MetricType::kCounter, "", "",
        kSource, "Calls of read() and its kin.", "much reading, perhaps in small pieces"},
       shm::kValidFiles,
       [](Series& s, const Record& r) { s.value(r.files.calls[shm::kRead]); }},
      {{subject, Topic::kFilesystem, "filesystem_read_bytes_total", MetricType::kCounter, "bytes",
        "", kSource, "Bytes these calls gave.", "much data moves, from the page cache or a disk"},
       shm::kValidFiles,
       [](Series& s, const Record& r) { s.value(r.files.bytes[shm::kRead]); }},
      {{subject, Topic::kFilesystem, "filesystem_writes_total", MetricType::kCounter, "", "",
        kSource, "Calls of write() and its kin.", "much writing, perhaps in small pieces"},
       shm::kValidFiles,
       [](Series& s, const Record& r) { s.value(r.files.calls[shm::kWrite]); }},
      {{subject, Topic::kFilesystem, "filesystem_written_bytes_total", MetricType::kCounter,
        "bytes", "", kSource, "Bytes these calls took.",
        "much data moves; disks follow when it is written back"},
       shm::kValidFiles,
       [](Series& s, const Record& r) { s.value(r.files.bytes[shm::kWrite]); }},
  });
}

/// Of a Record with `tcp`.
template <class Record>
auto tcp_families(Subject subject) {
  constexpr std::string_view kSource =
      "`tcp_sock` of each connection that began after the agent, in every network namespace";
  return std::to_array<Family<Record>>({
      {{subject, Topic::kNetwork, "network_tcp_retransmits_total", MetricType::kCounter, "", "",
        "`tcp_retransmit_skb`, in every network namespace", "TCP segments sent again.",
        "packets are lost: a congested or broken network"},
       shm::kValidTcpRetransmits,
       [](Series& s, const Record& r) { s.value(r.tcp.retransmitted_segments); }},
      {{subject, Topic::kNetwork, "network_tcp_rtt_seconds", MetricType::kHistogram, "seconds", "",
        "`srtt_us` of the connections that moved data, once a tick and at their end",
        "Smoothed round trip time of TCP connections.",
        "far peers, full queues, or peers that answer late"},
       shm::kValidTcp,
       [](Series& s, const Record& r) { s.histogram(r.tcp.rtt); }},
      {{subject, Topic::kNetwork, "network_tcp_received_bytes_total", MetricType::kCounter, "bytes",
        "", kSource, "TCP payload received.", "much traffic"},
       shm::kValidTcp,
       [](Series& s, const Record& r) { s.value(r.tcp.bytes[shm::kReceived]); }},
      {{subject, Topic::kNetwork, "network_tcp_sent_bytes_total", MetricType::kCounter, "bytes", "",
        kSource, "TCP payload sent; what is sent again counts again.", "much traffic"},
       shm::kValidTcp,
       [](Series& s, const Record& r) { s.value(r.tcp.bytes[shm::kSent]); }},
  });
}

/// Of a Record with `hardware`.
template <class Record>
auto hardware_families(Subject subject) {
  constexpr std::string_view kSource =
      "`perf_event_open` per CPU, read at `sched_switch`; with `--hardware-counters`, 10 s of each "
      "minute, where the CPUs have counters";
  return std::to_array<Family<Record>>({
      {{subject, Topic::kCpu, "cpu_cycles_total", MetricType::kCounter, "", "", kSource,
        "Cycles of the CPU, as far as they were counted.",
        "see them by instruction: more than usual means waiting for memory or shared units"},
       shm::kValidHardwareCounters,
       [](Series& s, const Record& r) { s.value(r.hardware.cycles); }},
      {{subject, Topic::kCpu, "cpu_instructions_total", MetricType::kCounter, "", "", kSource,
        "Instructions, as far as they were counted.", "much work was done"},
       shm::kValidHardwareCounters,
       [](Series& s, const Record& r) { s.value(r.hardware.instructions); }},
      {{subject, Topic::kCpu, "cpu_llc_misses_total", MetricType::kCounter, "", "", kSource,
        "Misses of the last level cache, as far as they were counted.",
        "by instruction: its data does not fit beside that of its neighbours"},
       shm::kValidCacheMisses,
       [](Series& s, const Record& r) { s.value(r.hardware.cache_misses); }},
      {{subject, Topic::kCpu, "cpu_counted_seconds_total", MetricType::kCounter, "seconds", "",
        kSource, "CPU time for which the hardware counters counted.", ""},
       shm::kValidHardwareCounters,
       [](Series& s, const Record& r) { s.seconds(r.hardware.counted_ns); }},
  });
}

}  // namespace optipod::exporter
