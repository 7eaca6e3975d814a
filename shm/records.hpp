// SPDX-License-Identifier: Apache-2.0
//
// What the agent says about a node: the payloads of the segment's sections.
//
// Every field is a std::uint64_t (or an array of them) or a NUL-padded char array whose size is a
// multiple of 8, so that a record is a whole number of 8-byte words with no padding. Values are
// cumulative since the agent attached ("counter") unless marked "gauge". A value whose valid bit is
// clear is unknown and must be shown as absent, never as zero.
//
// Fields are only ever appended; the ABI hash in the segment header covers name, offset and size of
// each (see shm/README.md).
#pragma once

#include <cstddef>
#include <cstdint>

namespace optipod::shm {

/// Buckets of every duration histogram. bucket[0] counts durations d <= 1 ns, bucket[k] counts
/// 2^(k-1) < d <= 2^k ns (upper bound inclusive, as Prometheus' `le`), the last one everything
/// above.
inline constexpr std::size_t kHistogramBuckets = 32;

struct Histogram {
  std::uint64_t bucket[kHistogramBuckets];  ///< events, not cumulative over buckets
  std::uint64_t sum_ns;
};

/// Bits of `valid` in the records below.
enum Valid : std::uint64_t {
  kValidRunqueueWait = 1u << 0,  ///< CpuStats::runqueue_wait
  kValidPreemptions = 1u << 1,   ///< CpuStats::preemptions
  kValidSwitches = 1u << 2,      ///< CpuStats::switches
  kValidCpuTime = 1u << 3,       ///< CpuTime
  kValidPressureCpu = 1u << 4,   ///< Pressure::{waiting,stalled}_ns[kCpu]; likewise below
  kValidPressureMemory = 1u << 5,
  kValidPressureIo = 1u << 6,
  kValidBlockIo = 1u << 7,       ///< BlockStats; all of it
  kValidCpuModes = 1u << 8,      ///< NodeRecord::cpu_mode_ns
  kValidMemory = 1u << 9,        ///< NodeRecord::memory_*, ContainerRecord::memory_*
  kValidPressureIrq = 1u << 10,  ///< NodeRecord::pressure_irq_stalled_ns
  kValidThrottling = 1u << 11,   ///< ContainerRecord::cpu_{throttled_ns,periods,throttled_periods}
  kValidVmEvents = 1u << 12,     ///< NodeRecord::page_faults, memory_allocated_bytes
  kValidTcpSegments = 1u << 13,  ///< NodeRecord::tcp_*
  // Since ABI 1.2.
  kValidThrottledWait = 1u << 14,   ///< SchedulerStats::throttled_*
  kValidMigrations = 1u << 15,      ///< SchedulerStats::migrations
  kValidNeighbours = 1u << 16,      ///< NeighbourRecord, NodeRecord::neighbours_untold
  kValidSoftirq = 1u << 17,         ///< NodeRecord::softirq_ns
  kValidHardirq = 1u << 18,         ///< NodeRecord::hardirq_ns
  kValidIrqStolen = 1u << 19,       ///< ContainerRecord::irq_stolen_ns
  kValidLoad = 1u << 20,            ///< NodeRecord::load_average_milli, tasks_*
  kValidReclaimStall = 1u << 24,    ///< MemoryStats::reclaim_stall
  kValidOomKills = 1u << 25,        ///< MemoryStats::oom_kills
  kValidPageFaults = 1u << 26,      ///< MemoryStats::page_faults
  kValidMemoryDetail = 1u << 27,    ///< MemoryUse, except:
  kValidMemoryLimit = 1u << 28,     ///< MemoryUse::limit_bytes; clear where there is no limit
  kValidFiles = 1u << 29,           ///< FileStats
  kValidTcpRetransmits = 1u << 30,  ///< TcpStats::retransmitted_segments
  kValidRefaults = 1ull << 32,      ///< MemoryUse::refaults_*; NodeRecord's since ABI 1.4
  kValidTcp = 1u << 31,             ///< the rest of TcpStats
  // Since ABI 1.3.
  kValidPacketDrops = 1ull << 33,       ///< NodeRecord::drops, drop_count
  kValidInterfaces = 1ull << 34,        ///< NodeRecord::interfaces
  kValidShortLived = 1ull << 35,        ///< AgentRecord::container_cuts[kShortLived]; of the node
  kValidHardwareCounters = 1ull << 37,  ///< HardwareCounters, except:
  kValidCacheMisses = 1ull << 38,       ///< HardwareCounters::cache_misses
  kValidBlockBytes = 1ull << 36,  ///< BlockStats::bytes, inflight; also wherever kValidBlockIo is
  // Since ABI 1.4.
  kValidFarMigrations = 1ull << 39,  ///< far_migrations
  kValidAllocations = 1ull << 40,    ///< ContainerRecord::memory_allocated_bytes
  kValidDropped = 1ull << 41,        ///< AgentRecord::dropped; of the node, and likewise
  kValidMissedRuns = 1ull << 42,     ///< AgentRecord::missed_runs
  // Since ABI 1.5.
  kValidDroppedRequests = 1ull << 43,  ///< AgentRecord::dropped[kDroppedRequests]; of the node
  kValidQueueLengths = 1ull << 44,     ///< NodeRecord::queue_lengths
};

enum PreemptedBy : std::size_t { kBySelf, kByOther, kBySystem, kPreemptedByCount };
enum SwitchKind : std::size_t { kVoluntary, kInvoluntary, kSwitchKinds };
enum Resource : std::size_t { kCpu, kMemory, kIo, kResources };
enum Operation : std::size_t { kRead, kWrite, kOperations };
enum ReclaimKind : std::size_t { kDirect, kMemcg, kReclaimKinds };
enum FaultKind : std::size_t { kMinor, kMajor, kFaultKinds };
enum Direction : std::size_t { kReceived, kSent, kDirections };
enum InterfaceKind : std::size_t { kPhysical, kVirtual, kInterfaceKinds };
/// Why a container has no record: no room for it, or gone before it was looked for.
enum CutReason : std::size_t { kOverLimit, kShortLived, kCutReasons };
/// A migration that leaves the CPU's last level cache: within its NUMA node, or to another.
enum FarMigration : std::size_t { kToOtherCache, kToOtherNode, kFarMigrations };
/// What the programs in the kernel had no room to count.
enum DropKind : std::size_t {
  kDroppedStalls,       ///< reclaim stalls; where kValidReclaimStall
  kDroppedCgroups,      ///< news of new cgroups; where kValidShortLived
  kDroppedConnections,  ///< TCP connections; where kValidTcp
  kDroppedTasks,        ///< tasks' reads, writes and faults, a look at one each; where kValidFiles
  kDroppedRequests,     ///< block requests; since ABI 1.5, where kValidDroppedRequests
  kDropKinds
};
enum CpuMode : std::size_t {
  kUser,
  kNice,
  kSystem,
  kIdle,
  kIowait,
  kIrq,
  kSoftirq,
  kSteal,
  kCpuModes
};

struct CpuStats {
  Histogram runqueue_wait;  ///< runnable and waiting for a CPU, per dispatch
  std::uint64_t
      preemptions[kPreemptedByCount];  ///< by whose task: same cgroup, another, a kernel thread
  std::uint64_t switches[kSwitchKinds];
  std::uint64_t discarded;  ///< waits not counted because the clocks disagreed
};

/// More of the scheduler's doings; beside CpuStats, which cannot grow. All counters.
struct SchedulerStats {
  std::uint64_t throttled_wait_ns;   ///< part of runqueue_wait.sum_ns in which the task's own CPU
                                     ///< quota (or an ancestor's) was used up: no contention
  std::uint64_t throttled_waits;     ///< dispatches whose wait had such a part
  std::uint64_t throttled_switches;  ///< put off the CPU by that quota: among
                                     ///< switches[kInvoluntary], but nobody's preemption
  std::uint64_t migrations;          ///< tasks moved to another CPU
};

/// Vectors of the kernel's softirqs, in its order.
inline constexpr std::size_t kSoftirqVectors = 10;
inline constexpr const char* kSoftirqNames[kSoftirqVectors] = {
    "hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu"};

/// Buckets of run queue lengths: looks[0] counts empty ones, looks[k] 2^(k-2) < n <= 2^(k-1) tasks,
/// the last one everything above.
inline constexpr std::size_t kQueueBuckets = 12;

/// How many tasks waited for a CPU whenever its run queue was looked at; the one that has the CPU
/// is not among them, nor are those that a CPU quota holds back. All counters.
struct QueueLengths {
  std::uint64_t looks[kQueueBuckets];  ///< at the queues of all CPUs of the node
  std::uint64_t waiting;               ///< tasks, the sum of all looks
};

struct CpuTime {
  std::uint64_t usage_ns, user_ns, system_ns;
};

/// PSI totals. waiting: some task was stalled; stalled: all non-idle tasks were ("full").
struct Pressure {
  std::uint64_t waiting_ns[kResources];
  std::uint64_t stalled_ns[kResources];
};

struct BlockStats {
  Histogram latency[kOperations];       ///< submission to completion of a request
  std::uint64_t bytes[kOperations];     ///< completed
  std::uint64_t inflight[kOperations];  ///< gauge: submitted and not yet completed
};

/// What shortage of memory did.
struct MemoryStats {
  Histogram reclaim_stall[kReclaimKinds];  ///< a task freed memory itself before it got some
  std::uint64_t oom_kills;                 ///< processes
  std::uint64_t page_faults[kFaultKinds];
};

/// What memory holds; of a container only, where it has a memory controller on cgroup v2.
struct MemoryUse {
  std::uint64_t anon_bytes, file_bytes;  ///< gauges
  std::uint64_t working_set_bytes;  ///< gauge: usage less inactive file cache, as the kubelet's
  std::uint64_t limit_bytes;        ///< gauge
  std::uint64_t refaults_anon, refaults_file;  ///< pages read back soon after they were given up
};

/// read() and write() of whatever kind, on files, pipes and sockets: as in /proc/PID/io.
struct FileStats {
  std::uint64_t calls[kOperations];
  std::uint64_t bytes[kOperations];
};

struct TcpStats {
  Histogram rtt;  ///< smoothed; per tick and connection that moved data, and at its end
  std::uint64_t bytes[kDirections];  ///< payload; sent again counts again, received: +1 at the end
  std::uint64_t retransmitted_segments;
};

/// What the CPUs' own counters said while its tasks ran, in windows of time: only ratios of these
/// mean something. All counters.
struct HardwareCounters {
  std::uint64_t cycles, instructions;
  std::uint64_t cache_misses;  ///< of the last level
  std::uint64_t counted_ns;    ///< CPU time for which the others were counted
};

/// Network interfaces of one kind together, without the loopback. Physical: with a device behind
/// them, those that hypervisors make included; what goes through both kinds counts in both.
struct InterfaceStats {
  std::uint64_t bytes[kDirections];
  std::uint64_t packets[kDirections];
  std::uint64_t errors[kDirections];
  std::uint64_t drops[kDirections];  ///< by the interface or its driver
};

/// Packets that the kernel threw away for one reason.
struct PacketDrops {
  char reason[40];        ///< as the kernel calls it, in small letters: "socket_rcvbuff"
  std::uint64_t packets;  ///< counter; what is segmented later counts once
};
/// Reasons told at most; the last one is "other" when there are more.
inline constexpr std::size_t kDropReasonsKept = 32;

/// One per tick, published last: it names the records of the other sections that belong to it.
struct NodeRecord {
  std::uint64_t tick;                 ///< 0, 1, 2 … since the agent started
  std::uint64_t sampled_boottime_ns;  ///< CLOCK_BOOTTIME when the values were read
  std::uint64_t sampled_realtime_ns;  ///< CLOCK_REALTIME at the same moment, ns since the epoch
  std::uint64_t valid;
  std::uint64_t first_container, container_count;  ///< ring indices in the containers section
  std::uint64_t first_device, device_count;        ///< likewise, devices section
  std::uint64_t agent_index;                       ///< likewise, agent section
  std::uint64_t containers_cut;  ///< gauge: cgroups seen but over --max-containers
  std::uint64_t cpus;            ///< gauge: CPUs this node consists of (--cpus)
  CpuStats cpu;
  CpuTime cpu_time;
  std::uint64_t cpu_mode_ns[kCpuModes];  ///< /proc/stat over --cpus; whole-machine nodes only
  Pressure pressure;
  std::uint64_t pressure_irq_stalled_ns;
  std::uint64_t memory_total_bytes, memory_available_bytes;  ///< gauges
  char node_name[256];
  char kernel_release[72];
  char cgroup_root[256];  ///< as the agent was told: "/" is the whole machine
  // Since ABI 1.1; whole-machine nodes only.
  std::uint64_t page_faults;             ///< minor and major
  std::uint64_t memory_allocated_bytes;  ///< handed out by the kernel's page allocator
  std::uint64_t tcp_sent_segments;       ///< host's network namespace; retransmitted ones too
  std::uint64_t tcp_retransmitted_segments;
  // Since ABI 1.2.
  MemoryStats memory;
  FileStats files;
  TcpStats tcp;
  SchedulerStats scheduler;
  std::uint64_t
      softirq_ns[kSoftirqVectors];      ///< run on the node's CPUs, without the hardirqs in it
  std::uint64_t hardirq_ns;             ///< in handlers of device interrupts
  std::uint64_t load_average_milli[3];  ///< gauges: 1, 5, 15 minutes; whole-machine nodes only
  std::uint64_t tasks_runnable, tasks_blocked;     ///< gauges: running or ready; waiting for I/O
  std::uint64_t first_neighbour, neighbour_count;  ///< ring indices in the neighbours section
  std::uint64_t neighbours_untold;  ///< preemptions by another that are in no NeighbourRecord for
                                    ///< want of room
  // Since ABI 1.3; the network of whole-machine nodes only.
  InterfaceStats interfaces[kInterfaceKinds];  ///< of the host's network namespace
  std::uint64_t drop_count;                    ///< gauge: of `drops`
  PacketDrops drops[kDropReasonsKept];         ///< in every network namespace; a reason keeps its
                                               ///< place
  HardwareCounters hardware;
  // Since ABI 1.4.
  std::uint64_t refaults_anon, refaults_file;    ///< as MemoryUse's; whole-machine nodes only
  std::uint64_t far_migrations[kFarMigrations];  ///< among scheduler.migrations
  // Since ABI 1.5.
  QueueLengths queue_lengths;
};

/// One per container (or per leaf cgroup outside Kubernetes) per tick. Identity and values are one
/// record, so a reader can never pair one container's name with another's numbers.
struct ContainerRecord {
  std::uint64_t tick;
  std::uint64_t valid;
  std::uint64_t cgroup_id;   ///< inode of the cgroup directory
  std::uint64_t first_tick;  ///< tick at which counting began: (cgroup_id, first_tick) is unique
  CpuStats cpu;
  CpuTime cpu_time;
  std::uint64_t cpu_throttled_ns, cpu_periods, cpu_throttled_periods;
  Pressure pressure;
  BlockStats block;
  std::uint64_t memory_current_bytes;  ///< gauge
  // Kubernetes identity; empty namespace_ means "not a Kubernetes container", then `container`
  // holds the cgroup's path from the agent's root and pod, pod_uid, container_id, qos are empty.
  char namespace_[64];
  char pod[256];
  char container[256];
  char pod_uid[40];
  char container_id[72];
  char qos[16];  ///< guaranteed, burstable, besteffort
  // Since ABI 1.2.
  MemoryStats memory;
  MemoryUse memory_use;
  FileStats files;
  TcpStats tcp;
  SchedulerStats scheduler;
  std::uint64_t irq_stolen_ns;  ///< interrupts and softirqs ran while its tasks had the CPU
  // Since ABI 1.3.
  HardwareCounters hardware;
  // Since ABI 1.4.
  std::uint64_t far_migrations[kFarMigrations];  ///< among scheduler.migrations
  std::uint64_t memory_allocated_bytes;          ///< its tasks got from the page allocator
};

/// Who takes the CPU from whom: one per pair of containers per tick, for each container at most the
/// kNeighboursKept that took it most often. Preemptions by kernel threads, by tasks of the victim's
/// own slot and by its own quota are not among them. The values arrive one tick late.
struct NeighbourRecord {
  std::uint64_t tick;
  std::uint64_t victim_cgroup_id, victim_first_tick;        ///< as in its ContainerRecord
  std::uint64_t aggressor_cgroup_id, aggressor_first_tick;  ///< likewise; 0, 0: whatever has no
                                                            ///< ContainerRecord
  std::uint64_t preemptions;  ///< counter, since the pair was first told
  std::uint64_t taken_ns;     ///< counter: how long the aggressor's task then ran, up to the next
                              ///< switch of that CPU; a lower bound of what the victim waited
};
/// Pairs told per container.
inline constexpr std::size_t kNeighboursKept = 8;

/// One per block device per tick.
struct DeviceRecord {
  std::uint64_t tick;
  std::uint64_t valid;
  std::uint64_t major, minor;
  BlockStats block;
  char name[32];  ///< as in /sys/block
};

/// What the agent costs and what this kernel lacks. One per tick.
struct AgentRecord {
  static constexpr std::size_t kFirstPrograms = 24, kMaxPrograms = 32;
  static constexpr std::size_t kMaxFeatures = 32;
  struct Program {
    char name[32];
    std::uint64_t runs, run_ns;  ///< from the kernel's bpf stats; 0 runs while those are off
  };
  struct Feature {
    char name[32];          ///< e.g. "runqueue_wait"
    char source[32];        ///< e.g. "tp_btf", "raw_tp", "iter", "file"; why not, when off
    std::uint64_t enabled;  ///< 0 or 1
  };
  std::uint64_t tick;
  std::uint64_t cpu_user_ns, cpu_system_ns;    ///< of the agent process
  std::uint64_t resident_bytes;                ///< gauge
  std::uint64_t tick_duration_ns;              ///< gauge: work of the last tick
  std::uint64_t ticks_missed;                  ///< ticks whose time had passed before they began
  std::uint64_t errors;                        ///< reads that failed
  std::uint64_t program_count, feature_count;  ///< gauges
  Program programs[kFirstPrograms];            ///< see program()
  Feature features[kMaxFeatures];
  char version[32];
  // Since ABI 1.3.
  std::uint64_t container_cuts[kCutReasons];  ///< counters: containers and services that came and
                                              ///< got no record; each once
  // Since ABI 1.4.
  Program more_programs[kMaxPrograms - kFirstPrograms];
  std::uint64_t missed_runs[kMaxPrograms];  ///< counters: events that came while the program ran
                                            ///< on that CPU already
  std::uint64_t dropped[kDropKinds];        ///< counters; the fifth since ABI 1.5

  /// The first program_count of them are there.
  [[nodiscard]] const Program& program(std::size_t i) const {
    return i < kFirstPrograms ? programs[i] : more_programs[i - kFirstPrograms];
  }
  [[nodiscard]] Program& program(std::size_t i) {
    return i < kFirstPrograms ? programs[i] : more_programs[i - kFirstPrograms];
  }
};

}  // namespace optipod::shm
