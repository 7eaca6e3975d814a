// SPDX-License-Identifier: Apache-2.0
#include "agent/top/signals.hpp"

#include <array>
#include <string_view>

#include "agent/top/signal_values.hpp"

namespace optipod::top {
namespace {

using namespace values;

// ---- The tables: key, heading, unit, value, what it means, and from where on it is worth a mark.

constexpr Signal<shm::ContainerRecord> kContainerSignals[] = {
    {"hurt", "hurt", Unit::kTasks, hurt<C>,
     "tasks held up: waiting for a CPU (not by their own limit), memory or I/O", 0.25, 1},
    {"cpus_used", "CPUs", Unit::kCpus, cpus_used<C>, "CPU time used per second"},
    {"cpu_waiting_tasks", "waiting", Unit::kTasks, waiting<C>,
     "runnable tasks without a CPU, on average", 0.25, 1},
    {"cpu_wait_p95_seconds", "wait p95", Unit::kSeconds, wait<95, C>,
     "95 of 100 waits for a CPU were shorter", 5e-3, 20e-3},
    {"preempted_by_other_per_second", "by others", Unit::kPerSecond, preempted<shm::kByOther, C>,
     "times another container took its CPU: a noisy neighbour"},
    {"cpu_throttled_ratio", "throttled", Unit::kShare,
     [](const C& c) {
       return c.rate(kValidThrottling, c.before.cpu_throttled_ns, c.now.cpu_throttled_ns, kNs);
     },
     "held back by its own CPU limit, summed over CPUs: not the node's fault", 0.05, 0.5},
    {"memory_pressure_ratio", "mem psi", Unit::kShare, some_stalled<shm::kMemory, C>,
     "share of time some task waited for memory (reclaim, refaults)", 0.02, 0.1},
    {"io_pressure_ratio", "I/O psi", Unit::kShare, some_stalled<shm::kIo, C>,
     "share of time some task waited for I/O", 0.1, 0.4},
    {"memory_bytes", "memory", Unit::kBytes,
     [](const C& c) { return c.gauge(kValidMemory, c.now.memory_current_bytes); },
     "memory charged to it now, page cache included"},
    {"read_bytes_per_second", "read/s", Unit::kBytesPerSecond, block_bytes<shm::kRead, C>,
     "read from disks"},
    {"write_bytes_per_second", "write/s", Unit::kBytesPerSecond, block_bytes<shm::kWrite, C>,
     "written to disks"},
    {"block_p95_seconds", "disk p95", Unit::kSeconds, block_p95<C>,
     "95 of 100 requests to disks were faster", 20e-3, 100e-3},
    {"cpu_wait_p50_seconds", "wait p50", Unit::kSeconds, wait<50, C>,
     "half of the waits for a CPU were shorter", 5e-3, 20e-3, false},
    {"cpu_wait_p99_seconds", "wait p99", Unit::kSeconds, wait<99, C>,
     "99 of 100 waits for a CPU were shorter", 10e-3, 50e-3, false},
    {"preempted_by_self_per_second", "by self", Unit::kPerSecond, preempted<shm::kBySelf, C>,
     "times another of its own tasks took its CPU: too many threads", 0, 0, false},
    {"preempted_by_system_per_second", "by system", Unit::kPerSecond, preempted<shm::kBySystem, C>,
     "times a kernel thread took its CPU", 0, 0, false},
    {"switches_voluntary_per_second", "vol sw", Unit::kPerSecond, switches<shm::kVoluntary, C>,
     "times a task gave its CPU away", 0, 0, false},
    {"switches_involuntary_per_second", "invol sw", Unit::kPerSecond,
     switches<shm::kInvoluntary, C>, "times a task lost its CPU", 0, 0, false},
    {"cpu_throttled_periods_ratio", "thr per", Unit::kShare,
     [](const C& c) -> Value {
       const auto periods = c.rate(kValidThrottling, c.before.cpu_periods, c.now.cpu_periods);
       const auto held =
           c.rate(kValidThrottling, c.before.cpu_throttled_periods, c.now.cpu_throttled_periods);
       if (!periods || *periods == 0) return std::nullopt;
       return std::min(1.0, *held / *periods);
     },
     "share of its limit's periods in which it ran out of quota", 0.05, 0.5, false},
    {"cpu_pressure_ratio", "cpu psi", Unit::kShare, some_stalled<shm::kCpu, C>,
     "share of time some task waited for a CPU; quota throttling is in it", 0, 0, false},
    {"memory_full_ratio", "mem full", Unit::kShare, all_stalled<shm::kMemory, C>,
     "share of time all its tasks waited for memory", 0.01, 0.05, false},
    {"io_full_ratio", "I/O full", Unit::kShare, all_stalled<shm::kIo, C>,
     "share of time all its tasks waited for I/O", 0.1, 0.4, false},
    {"reads_per_second", "reads/s", Unit::kPerSecond, block_requests<shm::kRead, C>,
     "read requests to disks", 0, 0, false},
    {"writes_per_second", "writes/s", Unit::kPerSecond, block_requests<shm::kWrite, C>,
     "write requests to disks", 0, 0, false},
    {"inflight_requests", "in flight", Unit::kCount, inflight<C>,
     "requests to disks not yet answered", 0, 0, false},
    {"cpus_user", "user", Unit::kCpus, cpus_used_in<&shm::CpuTime::user_ns, C>,
     "CPU time its programs used", 0, 0, false},
    {"cpus_system", "system", Unit::kCpus, cpus_used_in<&shm::CpuTime::system_ns, C>,
     "CPU time the kernel used for them", 0, 0, false},
    {"cpu_throttled_wait_tasks", "thr wait", Unit::kTasks, throttled_wait<C>,
     "of the waiting tasks, those that its own CPU limit held back", 0, 0, false},
    {"migrations_per_second", "migr/s", Unit::kPerSecond, migrations<C>,
     "times a task was moved to another CPU", 0, 0, false},
    {"far_migrations_per_second", "far migr", Unit::kPerSecond, far_migrations<C>,
     "of them, to another last level cache or NUMA node", 0, 0, false},
    {"irq_stolen_ratio", "irq stole", Unit::kShare,
     [](const C& c) {
       return c.rate(kValidIrqStolen, c.before.irq_stolen_ns, c.now.irq_stolen_ns, kNs);
     },
     "CPU time that interrupts took from its running tasks", 0.05, 0.2, false},
    {"reclaim_stall_tasks", "reclaim", Unit::kTasks, reclaim_stall<C>,
     "tasks that had to free memory before they got some", 0.02, 0.2, false},
    {"oom_kills_per_second", "OOM/s", Unit::kPerSecond, oom_kills<C>,
     "processes killed for lack of memory", 1e-6, 1e-6, false},
    {"page_faults_major_per_second", "major/s", Unit::kPerSecond, faults<shm::kMajor, C>,
     "page faults that waited for a disk", 10, 100, false},
    {"page_faults_minor_per_second", "minor/s", Unit::kPerSecond, faults<shm::kMinor, C>,
     "page faults that did not", 0, 0, false},
    {"refaults_per_second", "refault/s", Unit::kPerSecond,
     [](const C& c) {
       const auto all = [](const shm::MemoryUse& m) { return m.refaults_anon + m.refaults_file; };
       return c.rate(kValidRefaults, all(c.before.memory_use), all(c.now.memory_use));
     },
     "pages that were given up and soon needed again", 100, 1000, false},
    {"allocated_bytes_per_second", "alloc/s", Unit::kBytesPerSecond,
     [](const C& c) {
       return c.rate(kValidAllocations, c.before.memory_allocated_bytes,
                     c.now.memory_allocated_bytes);
     },
     "memory it was given by the page allocator", 0, 0, false},
    {"working_set_bytes", "work set", Unit::kBytes,
     [](const C& c) { return c.gauge(kValidMemoryDetail, c.now.memory_use.working_set_bytes); },
     "memory in use that cannot simply be taken back", 0, 0, false},
    {"memory_limit_ratio", "of limit", Unit::kShare,
     [](const C& c) -> Value {
       const auto used = c.gauge(kValidMemoryDetail, c.now.memory_use.working_set_bytes);
       const auto limit = c.gauge(kValidMemoryLimit, c.now.memory_use.limit_bytes);
       if (!used || !limit || *limit == 0) return std::nullopt;
       return *used / *limit;
     },
     "the same as a share of its memory limit", 0.9, 0.97, false},
    {"filesystem_read_bytes_per_second", "fs rd B/s", Unit::kBytesPerSecond,
     file_bytes<shm::kRead, C>, "read() of anything, cached or not", 0, 0, false},
    {"filesystem_written_bytes_per_second", "fs wr B/s", Unit::kBytesPerSecond,
     file_bytes<shm::kWrite, C>, "write() of anything, cached or not", 0, 0, false},
    {"filesystem_reads_per_second", "fs rd/s", Unit::kPerSecond, file_calls<shm::kRead, C>,
     "calls of read() and its kin", 0, 0, false},
    {"filesystem_writes_per_second", "fs wr/s", Unit::kPerSecond, file_calls<shm::kWrite, C>,
     "calls of write() and its kin", 0, 0, false},
    {"tcp_received_bytes_per_second", "tcp in/s", Unit::kBytesPerSecond,
     tcp_bytes<shm::kReceived, C>, "TCP payload received", 0, 0, false},
    {"tcp_sent_bytes_per_second", "tcp out/s", Unit::kBytesPerSecond, tcp_bytes<shm::kSent, C>,
     "TCP payload sent", 0, 0, false},
    {"tcp_rtt_p95_seconds", "rtt p95", Unit::kSeconds, tcp_rtt<C>,
     "95 of 100 round trips over TCP were shorter", 0, 0, false},
    {"tcp_retransmits_per_second", "tcp re/s", Unit::kPerSecond, tcp_retransmits<C>,
     "TCP segments sent again: loss on the way", 1, 10, false},
    {"cycles_per_instruction", "CPI", Unit::kCount, cycles_per_instruction<C>,
     "cycles an instruction takes: more means waiting for memory", 0, 0, false},
    {"llc_misses_per_1000_instructions", "LLC miss", Unit::kCount, misses_per_thousand<C>,
     "misses of the last level cache per 1000 instructions", 0, 0, false},
};

constexpr Signal<NodeMoment> kNodeSignals[] = {
    {"hurt", "hurt", Unit::kTasks, hurt<N>,
     "tasks held up: waiting for a CPU (not by their own limit), memory or I/O"},
    {"cpus_used", "CPUs", Unit::kCpus, cpus_used<N>, "CPU time used per second"},
    {"cpu_used_ratio", "used", Unit::kShare,
     [](const N& n) -> Value {
       const auto used = cpus_used(n);
       if (!used || n.now.record.cpus == 0) return std::nullopt;
       return *used / static_cast<double>(n.now.record.cpus);
     },
     "share of the node's CPU time used"},
    {"cpus_user", "user", Unit::kCpus, cpus_used_in<&shm::CpuTime::user_ns, N>,
     "CPU time programs used"},
    {"cpus_system", "system", Unit::kCpus, cpus_used_in<&shm::CpuTime::system_ns, N>,
     "CPU time the kernel used for them"},
    {"cpu_waiting_tasks", "waiting", Unit::kTasks, waiting<N>,
     "runnable tasks without a CPU, on average"},
    {"cpu_waiting_per_cpu", "wait/CPU", Unit::kTasks,
     [](const N& n) -> Value {
       const auto tasks = waiting(n);
       if (!tasks || n.now.record.cpus == 0) return std::nullopt;
       return *tasks / static_cast<double>(n.now.record.cpus);
     },
     "the same per CPU: 1 means everybody waits as long as it runs", 0.25, 1},
    {"runqueue_length_p95", "queue p95", Unit::kTasks, queue_p95,
     "in 95 of 100 looks at a CPU no more tasks waited for it", 4, 16},
    {"cpu_wait_p50_seconds", "wait p50", Unit::kSeconds, wait<50, N>,
     "half of the waits for a CPU were shorter", 5e-3, 20e-3},
    {"cpu_wait_p95_seconds", "wait p95", Unit::kSeconds, wait<95, N>,
     "95 of 100 waits for a CPU were shorter", 5e-3, 20e-3},
    {"cpu_wait_p99_seconds", "wait p99", Unit::kSeconds, wait<99, N>,
     "99 of 100 waits for a CPU were shorter", 10e-3, 50e-3},
    {"preempted_by_other_per_second", "by others", Unit::kPerSecond, preempted<shm::kByOther, N>,
     "times a task's CPU was taken by another container's"},
    {"preempted_by_self_per_second", "by self", Unit::kPerSecond, preempted<shm::kBySelf, N>,
     "times a task's CPU was taken by one of the same container"},
    {"preempted_by_system_per_second", "by system", Unit::kPerSecond, preempted<shm::kBySystem, N>,
     "times a task's CPU was taken by a kernel thread"},
    {"switches_voluntary_per_second", "vol sw", Unit::kPerSecond, switches<shm::kVoluntary, N>,
     "times a task gave its CPU away"},
    {"switches_involuntary_per_second", "invol sw", Unit::kPerSecond,
     switches<shm::kInvoluntary, N>, "times a task lost its CPU"},
    {"cpu_steal_ratio", "steal", Unit::kShare, mode_share<shm::kSteal>,
     "share of CPU time that the hypervisor gave to others", 0.02, 0.1},
    {"cpu_softirq_ratio", "softirq", Unit::kShare, mode_share<shm::kSoftirq>,
     "share of CPU time in soft interrupts: network, mostly", 0.1, 0.3},
    {"cpu_irq_ratio", "irq", Unit::kShare, mode_share<shm::kIrq>,
     "share of CPU time in hard interrupts", 0.05, 0.2},
    {"cpu_iowait_ratio", "iowait", Unit::kShare, mode_share<shm::kIowait>,
     "share of CPU time idle while I/O was under way"},
    {"cpu_pressure_ratio", "cpu psi", Unit::kShare, some_stalled<shm::kCpu, N>,
     "share of time some task waited for a CPU; quota throttling is in it"},
    {"memory_pressure_ratio", "mem psi", Unit::kShare, some_stalled<shm::kMemory, N>,
     "share of time some task waited for memory", 0.02, 0.1},
    {"memory_full_ratio", "mem full", Unit::kShare, all_stalled<shm::kMemory, N>,
     "share of time all tasks waited for memory", 0.01, 0.05},
    {"io_pressure_ratio", "I/O psi", Unit::kShare, some_stalled<shm::kIo, N>,
     "share of time some task waited for I/O", 0.1, 0.4},
    {"io_full_ratio", "I/O full", Unit::kShare, all_stalled<shm::kIo, N>,
     "share of time all tasks waited for I/O", 0.1, 0.4},
    {"irq_full_ratio", "irq full", Unit::kShare,
     [](const N& n) {
       return n.share(kValidPressureIrq, n.before.record.pressure_irq_stalled_ns,
                      n.now.record.pressure_irq_stalled_ns);
     },
     "share of time interrupts held everybody up", 0.05, 0.2},
    {"memory_used_bytes", "memory", Unit::kBytes,
     [](const N& n) -> Value {
       const auto& node = n.now.record;
       if (!(node.valid & kValidMemory)) return std::nullopt;
       return static_cast<double>(node.memory_total_bytes) -
              static_cast<double>(std::min(node.memory_available_bytes, node.memory_total_bytes));
     },
     "memory that is not available for new work"},
    {"memory_used_ratio", "mem used", Unit::kShare,
     [](const N& n) -> Value {
       const auto& node = n.now.record;
       if (!(node.valid & kValidMemory) || node.memory_total_bytes == 0) return std::nullopt;
       const auto total = static_cast<double>(node.memory_total_bytes);
       return std::max(0.0, 1 - static_cast<double>(node.memory_available_bytes) / total);
     },
     "the same as a share of the node's memory", 0.9, 0.97},
    {"page_faults_per_second", "faults/s", Unit::kPerSecond,
     [](const N& n) {
       return n.rate(kValidVmEvents, n.before.record.page_faults, n.now.record.page_faults);
     },
     "page faults, minor and major"},
    {"allocated_bytes_per_second", "alloc/s", Unit::kBytesPerSecond,
     [](const N& n) {
       return n.rate(kValidVmEvents, n.before.record.memory_allocated_bytes,
                     n.now.record.memory_allocated_bytes);
     },
     "memory handed out by the kernel's page allocator"},
    {"read_bytes_per_second", "read/s", Unit::kBytesPerSecond, block_bytes<shm::kRead, N>,
     "read from disks"},
    {"write_bytes_per_second", "write/s", Unit::kBytesPerSecond, block_bytes<shm::kWrite, N>,
     "written to disks"},
    {"block_p95_seconds", "disk p95", Unit::kSeconds, block_p95<N>,
     "95 of 100 requests to disks were faster", 20e-3, 100e-3},
    {"inflight_requests", "in flight", Unit::kCount, inflight<N>,
     "requests to disks not yet answered"},
    {"load_average_1m", "load 1m", Unit::kTasks,
     [](const N& n) -> Value {
       const auto load = n.gauge(kValidLoad, n.now.record.load_average_milli[0]);
       return load ? std::optional(*load / 1000) : load;
     },
     "tasks running, ready or waiting for I/O, over a minute"},
    {"tasks_blocked", "blocked", Unit::kCount,
     [](const N& n) { return n.gauge(kValidLoad, n.now.record.tasks_blocked); },
     "tasks that wait for I/O now"},
    {"cpu_throttled_wait_tasks", "thr wait", Unit::kTasks, throttled_wait<N>,
     "of the waiting tasks, those that their own CPU limits held back"},
    {"migrations_per_second", "migr/s", Unit::kPerSecond, migrations<N>,
     "times a task was moved to another CPU"},
    {"far_migrations_per_second", "far migr", Unit::kPerSecond, far_migrations<N>,
     "of them, to another last level cache or NUMA node"},
    {"tcp_segments_per_second", "tcp seg/s", Unit::kPerSecond,
     [](const N& n) {
       return n.rate(kValidTcpSegments, n.before.record.tcp_sent_segments,
                     n.now.record.tcp_sent_segments);
     },
     "TCP segments sent"},
    {"tcp_retransmits_per_second", "tcp re/s", Unit::kPerSecond,
     [](const N& n) {
       return n.rate(kValidTcpSegments, n.before.record.tcp_retransmitted_segments,
                     n.now.record.tcp_retransmitted_segments);
     },
     "TCP segments sent again: loss on the way", 10, 100},
    {"tcp_retransmits_all_per_second", "re all/s", Unit::kPerSecond, tcp_retransmits<N>,
     "likewise in every network namespace, those of pods included", 10, 100},
    {"tcp_received_bytes_per_second", "tcp in/s", Unit::kBytesPerSecond,
     tcp_bytes<shm::kReceived, N>, "TCP payload received, by pods, too"},
    {"tcp_sent_bytes_per_second", "tcp out/s", Unit::kBytesPerSecond, tcp_bytes<shm::kSent, N>,
     "TCP payload sent, by pods, too"},
    {"tcp_rtt_p95_seconds", "rtt p95", Unit::kSeconds, tcp_rtt<N>,
     "95 of 100 round trips over TCP were shorter"},
    {"network_received_bytes_per_second", "net in/s", Unit::kBytesPerSecond,
     interfaces<&shm::InterfaceStats::bytes, shm::kReceived>,
     "received by the node's physical interfaces"},
    {"network_sent_bytes_per_second", "net out/s", Unit::kBytesPerSecond,
     interfaces<&shm::InterfaceStats::bytes, shm::kSent>, "sent by them"},
    {"network_received_packets_per_second", "pkts in/s", Unit::kPerSecond,
     interfaces<&shm::InterfaceStats::packets, shm::kReceived>, "packets they received"},
    {"network_sent_packets_per_second", "pkt out/s", Unit::kPerSecond,
     interfaces<&shm::InterfaceStats::packets, shm::kSent>, "packets they sent"},
    {"network_lost_per_second", "net err/s", Unit::kPerSecond,
     [](const N& n) {
       return n.rate(kValidInterfaces, lost_at_interfaces(n.before.record),
                     lost_at_interfaces(n.now.record));
     },
     "errors and drops at the physical interfaces", 1, 100},
    {"packet_drops_per_second", "drops/s", Unit::kPerSecond,
     [](const N& n) {
       return n.rate(kValidPacketDrops, dropped(n.before.record), dropped(n.now.record));
     },
     "packets the kernel threw away; why stands below", 10, 1000},
    {"reclaim_stall_tasks", "reclaim", Unit::kTasks, reclaim_stall<N>,
     "tasks that had to free memory before they got some", 0.05, 0.5},
    {"oom_kills_per_second", "OOM/s", Unit::kPerSecond, oom_kills<N>,
     "processes killed for lack of memory", 1e-6, 1e-6},
    {"page_faults_major_per_second", "major/s", Unit::kPerSecond, faults<shm::kMajor, N>,
     "page faults that waited for a disk", 100, 1000},
    {"refaults_per_second", "refault/s", Unit::kPerSecond,
     [](const N& n) {
       const auto all = [](const shm::NodeRecord& r) { return r.refaults_anon + r.refaults_file; };
       return n.rate(kValidRefaults, all(n.before.record), all(n.now.record));
     },
     "pages that were given up and soon needed again", 1000, 10000},
    {"filesystem_read_bytes_per_second", "fs rd B/s", Unit::kBytesPerSecond,
     file_bytes<shm::kRead, N>, "read() of anything, cached or not"},
    {"filesystem_written_bytes_per_second", "fs wr B/s", Unit::kBytesPerSecond,
     file_bytes<shm::kWrite, N>, "write() of anything, cached or not"},
    {"filesystem_reads_per_second", "fs rd/s", Unit::kPerSecond, file_calls<shm::kRead, N>,
     "calls of read() and its kin"},
    {"filesystem_writes_per_second", "fs wr/s", Unit::kPerSecond, file_calls<shm::kWrite, N>,
     "calls of write() and its kin"},
    {"softirq_cpus", "softirqs", Unit::kCpus,
     [](const N& n) {
       return n.rate(kValidSoftirq, in_softirqs(n.before.record), in_softirqs(n.now.record), kNs);
     },
     "CPUs that run soft interrupts, measured and not sampled"},
    {"hardirq_cpus", "hardirqs", Unit::kCpus,
     [](const N& n) {
       return n.rate(kValidHardirq, n.before.record.hardirq_ns, n.now.record.hardirq_ns, kNs);
     },
     "CPUs that run handlers of device interrupts"},
    {"cycles_per_instruction", "CPI", Unit::kCount, cycles_per_instruction<N>,
     "cycles an instruction takes: more means waiting for memory"},
    {"llc_misses_per_1000_instructions", "LLC miss", Unit::kCount, misses_per_thousand<N>,
     "misses of the last level cache per 1000 instructions"},
};

constexpr Signal<shm::DeviceRecord> kDeviceSignals[] = {
    {"reads_per_second", "reads/s", Unit::kPerSecond, block_requests<shm::kRead, D>,
     "read requests"},
    {"writes_per_second", "writes/s", Unit::kPerSecond, block_requests<shm::kWrite, D>,
     "write requests"},
    {"read_bytes_per_second", "rd B/s", Unit::kBytesPerSecond, block_bytes<shm::kRead, D>,
     "bytes read"},
    {"write_bytes_per_second", "wr B/s", Unit::kBytesPerSecond, block_bytes<shm::kWrite, D>,
     "bytes written"},
    {"read_p50_seconds", "rd p50", Unit::kSeconds, block_wait<shm::kRead, 50, D>,
     "half of the reads were faster", 20e-3, 100e-3},
    {"read_p95_seconds", "rd p95", Unit::kSeconds, block_wait<shm::kRead, 95, D>,
     "95 of 100 reads were faster", 20e-3, 100e-3},
    {"write_p50_seconds", "wr p50", Unit::kSeconds, block_wait<shm::kWrite, 50, D>,
     "half of the writes were faster", 20e-3, 100e-3},
    {"write_p95_seconds", "wr p95", Unit::kSeconds, block_wait<shm::kWrite, 95, D>,
     "95 of 100 writes were faster", 20e-3, 100e-3},
    {"inflight_requests", "queued", Unit::kCount, inflight<D>, "requests not yet answered"},
};

constexpr std::string_view kAddUp[] = {"cpus_used",
                                       "cpus_user",
                                       "cpus_system",
                                       "cpu_waiting_tasks",
                                       "preempted_by_other_per_second",
                                       "preempted_by_self_per_second",
                                       "preempted_by_system_per_second",
                                       "switches_voluntary_per_second",
                                       "switches_involuntary_per_second",
                                       "migrations_per_second",
                                       "far_migrations_per_second",
                                       "cpu_throttled_wait_tasks",
                                       "reclaim_stall_tasks",
                                       "oom_kills_per_second",
                                       "page_faults_major_per_second",
                                       "filesystem_read_bytes_per_second",
                                       "filesystem_written_bytes_per_second",
                                       "filesystem_reads_per_second",
                                       "filesystem_writes_per_second",
                                       "tcp_received_bytes_per_second",
                                       "tcp_sent_bytes_per_second"};

}  // namespace

NodeMoment::NodeMoment(const shm::Tick& tick) : valid(tick.node.valid), record(tick.node), block{} {
  for (const auto& device : tick.devices) {
    valid |= device.valid & (kValidBlockIo | kValidBlockBytes);
    for (std::size_t op = 0; op < shm::kOperations; ++op) {
      block.latency[op] = sum(block.latency[op], device.block.latency[op]);
      block.bytes[op] += device.block.bytes[op];
      block.inflight[op] += device.block.inflight[op];
    }
  }
}

std::span<const Signal<shm::ContainerRecord>> container_signals() {
  return kContainerSignals;
}
std::span<const Signal<NodeMoment>> node_signals() {
  return kNodeSignals;
}
std::span<const Signal<shm::DeviceRecord>> device_signals() {
  return kDeviceSignals;
}

bool adds_up(const char* key) {
  return std::find(std::begin(kAddUp), std::end(kAddUp), key) != std::end(kAddUp);
}

}  // namespace optipod::top
