// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "agent/exporter/families/families.hpp"
#include "agent/exporter/families/shared.hpp"

namespace optipod::exporter {
namespace {

using shm::NodeRecord;
using enum MetricType;
constexpr Subject kNode = Subject::kNode;

constexpr std::array<Label, shm::kCpuModes> kMode = {{{"mode", "user"},
                                                      {"mode", "nice"},
                                                      {"mode", "system"},
                                                      {"mode", "idle"},
                                                      {"mode", "iowait"},
                                                      {"mode", "irq"},
                                                      {"mode", "softirq"},
                                                      {"mode", "steal"}}};

constexpr auto kInfo = std::to_array<Family<shm::Tick>>({
    {{kNode, Topic::kInfo, "info", kGauge, "", "node,kernel,cgroup_root,agent_version",
      "the agent's flags, `uname`", "What is measured, and by which agent.", ""},
     0,
     [](Series& s, const shm::Tick& t) {
       s.info({{"node", view(t.node.node_name)},
               {"kernel", view(t.node.kernel_release)},
               {"cgroup_root", view(t.node.cgroup_root)},
               {"agent_version", view(t.agent.version)}});
     }},
});

constexpr auto kSize = std::to_array<Family<NodeRecord>>({
    {{kNode, Topic::kInfo, "cpus", kGauge, "", "", "`--cpus`, else the CPUs online",
      "CPUs the node consists of.", ""},
     0,
     [](Series& s, const NodeRecord& r) { s.value(r.cpus); }},
});

constexpr auto kCpu = std::to_array<Family<NodeRecord>>({
    {{kNode, Topic::kCpu, "cpu_runqueue_waits_discarded_total", kCounter, "", "", "`sched_switch`",
      "Waits not counted because the clocks of two CPUs disagreed.",
      "the wait histogram lacks so many; usually 0"},
     shm::kValidRunqueueWait,
     [](Series& s, const NodeRecord& r) { s.value(r.cpu.discarded); }},
    {{kNode, Topic::kCpu, "cpu_seconds_total", kCounter, "seconds",
      "mode={user,nice,system,idle,iowait,irq,softirq,steal}",
      "`/proc/stat` of the node's CPUs; whole-machine nodes only",
      "Time the node's CPUs spent in each mode.",
      "`steal`: the hypervisor gives the CPU to others; `softirq`, `irq`: interrupts take it"},
     shm::kValidCpuModes,
     [](Series& s, const NodeRecord& r) { s.seconds(kMode, r.cpu_mode_ns); }},
});

constexpr std::array<Label, shm::kSoftirqVectors> kVector = [] {
  std::array<Label, shm::kSoftirqVectors> labels;
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = {"vec", shm::kSoftirqNames[i]};
  return labels;
}();

constexpr auto kInterrupts = std::to_array<Family<NodeRecord>>({
    {{kNode, Topic::kCpu, "softirq_seconds_total", kCounter, "seconds",
      "vec={hi,timer,net_tx,net_rx,block,irq_poll,tasklet,sched,hrtimer,rcu}",
      "`softirq_entry` and `softirq_exit`; not of PREEMPT_RT kernels",
      "Time in softirqs on the node's CPUs, without the hardirqs in it.",
      "`net_rx`, `net_tx`: networking takes the CPUs from the pods; likewise the others"},
     shm::kValidSoftirq,
     [](Series& s, const NodeRecord& r) { s.seconds(kVector, r.softirq_ns); }},
    {{kNode, Topic::kCpu, "hardirq_seconds_total", kCounter, "seconds", "",
      "`irq_handler_entry` and `irq_handler_exit`",
      "Time in handlers of device interrupts on the node's CPUs; timers and IPIs are not in it.",
      "a device interrupts too often"},
     shm::kValidHardirq,
     [](Series& s, const NodeRecord& r) { s.seconds(r.hardirq_ns); }},
    {{kNode, Topic::kCpu, "cpu_preempted_by_untold_total", kCounter, "", "", "the agent",
      "Preemptions by another container that no pair of containers could be counted for.",
      "`optipod_container_cpu_preempted_by_total` lacks so many"},
     shm::kValidNeighbours,
     [](Series& s, const NodeRecord& r) { s.value(r.neighbours_untold); }},
});

constexpr auto kLoad = std::to_array<Family<NodeRecord>>({
    {{kNode, Topic::kCpu, "runqueue_length", kHistogram, "", "",
      "each CPU's run queue, looked at 49 times a second by a timer in the kernel (Linux 5.17); of "
      "nodes with CPUs of their own",
      "Tasks that waited for a CPU while another had it, per look at a CPU.",
      "who wakes waits behind so many others; long queues beside empty ones: tasks are not spread "
      "over the CPUs"},
     shm::kValidQueueLengths,
     [](Series& s, const NodeRecord& r) { s.queue_lengths(r.queue_lengths); }},
    {{kNode, Topic::kCpu, "load1", kGauge, "", "", "`/proc/loadavg`; whole-machine nodes only",
      "Tasks that run, can run or wait for disks, averaged over 1 minute.",
      "above the CPUs: tasks wait"},
     shm::kValidLoad,
     [](Series& s, const NodeRecord& r) { s.thousandths(r.load_average_milli[0]); }},
    {{kNode, Topic::kCpu, "load5", kGauge, "", "", "`/proc/loadavg`; whole-machine nodes only",
      "Tasks that run, can run or wait for disks, averaged over 5 minutes.",
      "above the CPUs: tasks wait"},
     shm::kValidLoad,
     [](Series& s, const NodeRecord& r) { s.thousandths(r.load_average_milli[1]); }},
    {{kNode, Topic::kCpu, "load15", kGauge, "", "", "`/proc/loadavg`; whole-machine nodes only",
      "Tasks that run, can run or wait for disks, averaged over 15 minutes.",
      "above the CPUs: tasks wait"},
     shm::kValidLoad,
     [](Series& s, const NodeRecord& r) { s.thousandths(r.load_average_milli[2]); }},
    {{kNode, Topic::kCpu, "tasks_runnable", kGauge, "", "",
      "`procs_running` of `/proc/stat`; whole-machine nodes only", "Tasks that run or can run.",
      "above the CPUs: tasks wait"},
     shm::kValidLoad,
     [](Series& s, const NodeRecord& r) { s.value(r.tasks_runnable); }},
    {{kNode, Topic::kCpu, "tasks_blocked", kGauge, "", "",
      "`procs_blocked` of `/proc/stat`; whole-machine nodes only", "Tasks that wait for disks.",
      "disks are too slow for the load"},
     shm::kValidLoad,
     [](Series& s, const NodeRecord& r) { s.value(r.tasks_blocked); }},
});

constexpr auto kRest = std::to_array<Family<NodeRecord>>({
    {{kNode, Topic::kPressure, "pressure_irq_stalled_seconds_total", kCounter, "seconds", "",
      "`/proc/pressure/irq` (Linux 6.1)", "Time all tasks were held up by interrupts (PSI).",
      "interrupts take the CPUs from the pods"},
     shm::kValidPressureIrq,
     [](Series& s, const NodeRecord& r) { s.seconds(r.pressure_irq_stalled_ns); }},
    {{kNode, Topic::kMemory, "memory_total_bytes", kGauge, "bytes", "", "`/proc/meminfo`",
      "Memory the node has.", ""},
     shm::kValidMemory,
     [](Series& s, const NodeRecord& r) { s.value(r.memory_total_bytes); }},
    {{kNode, Topic::kMemory, "memory_available_bytes", kGauge, "bytes", "", "`/proc/meminfo`",
      "Memory that can be given out without swapping.", "room for more; a low one is what counts"},
     shm::kValidMemory,
     [](Series& s, const NodeRecord& r) { s.value(r.memory_available_bytes); }},
    {{kNode, Topic::kMemory, "memory_allocated_bytes_total", kCounter, "bytes", "",
      "`pgalloc_*` of `/proc/vmstat`: to programs, the page cache and the kernel itself; "
      "whole-machine nodes only",
      "Memory handed out by the kernel's page allocator.",
      "memory turns over fast; the caches of the CPUs and memory bandwidth suffer"},
     shm::kValidVmEvents,
     [](Series& s, const NodeRecord& r) { s.value(r.memory_allocated_bytes); }},
    {{kNode, Topic::kMemory, "memory_workingset_refaults_total", kCounter, "", "type={anon,file}",
      "`workingset_refault_*` of `/proc/vmstat` (Linux 5.9); whole-machine nodes only",
      "Pages that were given up and soon needed again.",
      "memory is too small for what is in use: thrashing begins"},
     shm::kValidRefaults,
     [](Series& s, const NodeRecord& r) {
       const std::uint64_t refaults[] = {r.refaults_anon, r.refaults_file};
       s.values(kRefaultType, refaults);
     }},
    {{kNode, Topic::kMemory, "page_faults_total", kCounter, "", "",
      "`pgfault` of `/proc/vmstat`; whole-machine nodes only", "Page faults, minor and major.",
      "programs start, grow, or read files through mappings"},
     shm::kValidVmEvents,
     [](Series& s, const NodeRecord& r) { s.value(r.page_faults); }},
    {{kNode, Topic::kNetwork, "network_tcp_sent_segments_total", kCounter, "", "",
      "`OutSegs` + `RetransSegs` of `/proc/net/snmp`; whole-machine nodes only, needs "
      "`hostNetwork` or `hostPID`",
      "TCP segments sent from the host's network namespace, retransmitted ones included.",
      "much traffic; pods with a network of their own are not in it"},
     shm::kValidTcpSegments,
     [](Series& s, const NodeRecord& r) { s.value(r.tcp_sent_segments); }},
    {{kNode, Topic::kNetwork, "network_tcp_retransmitted_segments_total", kCounter, "", "",
      "`RetransSegs` of `/proc/net/snmp`, as above",
      "TCP segments sent again from the host's network namespace.",
      "packets are lost: a congested or broken network"},
     shm::kValidTcpSegments,
     [](Series& s, const NodeRecord& r) { s.value(r.tcp_retransmitted_segments); }},
});

constexpr std::array<Label, shm::kInterfaceKinds> kInterfaceKind = {
    {{"kind", "physical"}, {"kind", "virtual"}}};
using InterfaceCounts = std::uint64_t (shm::InterfaceStats::*)[shm::kDirections];

template <InterfaceCounts kCounts, shm::Direction kWay>
void write_interfaces(Series& s, const NodeRecord& r) {
  const std::uint64_t values[] = {(r.interfaces[shm::kPhysical].*kCounts)[kWay],
                                  (r.interfaces[shm::kVirtual].*kCounts)[kWay]};
  s.values(kInterfaceKind, values);
}

/// One direction of one count of the interfaces.
template <InterfaceCounts kCounts, shm::Direction kWay>
constexpr Family<NodeRecord> interface_family(std::string_view name, std::string_view unit,
                                              std::string_view help, std::string_view high) {
  return {{kNode, Topic::kNetwork, name, kCounter, unit, "kind={physical,virtual}",
           "`/proc/net/dev` of the host's network, without `lo`; physical: with a `device` in "
           "`/sys/class/net`; whole-machine nodes only, needs `hostNetwork`",
           help, high},
          shm::kValidInterfaces,
          write_interfaces<kCounts, kWay>};
}

constexpr std::string_view kTraffic = "near the link's speed: the network is what is short";
constexpr std::string_view kBroken = "a broken cable, port or driver";
constexpr std::string_view kOverrun = "the CPUs do not keep up with the interface, or filters drop";
constexpr auto kNetwork = std::to_array<Family<NodeRecord>>({
    interface_family<&shm::InterfaceStats::bytes, shm::kReceived>(
        "network_received_bytes_total", "bytes", "Bytes the node's interfaces received.", kTraffic),
    interface_family<&shm::InterfaceStats::bytes, shm::kSent>(
        "network_sent_bytes_total", "bytes", "Bytes the node's interfaces sent.", kTraffic),
    interface_family<&shm::InterfaceStats::packets, shm::kReceived>(
        "network_received_packets_total", "", "Packets the node's interfaces received.",
        "many small packets: they cost CPU time in softirqs"),
    interface_family<&shm::InterfaceStats::packets, shm::kSent>(
        "network_sent_packets_total", "", "Packets the node's interfaces sent.",
        "many small packets: they cost CPU time in softirqs"),
    interface_family<&shm::InterfaceStats::errors, shm::kReceived>(
        "network_receive_errors_total", "", "Packets received with errors.", kBroken),
    interface_family<&shm::InterfaceStats::errors, shm::kSent>(
        "network_send_errors_total", "", "Packets that could not be sent for errors.", kBroken),
    interface_family<&shm::InterfaceStats::drops, shm::kReceived>(
        "network_receive_drops_total", "", "Packets that interfaces or their drivers dropped.",
        kOverrun),
    interface_family<&shm::InterfaceStats::drops, shm::kSent>(
        "network_send_drops_total", "",
        "Packets dropped instead of sent by interfaces or their "
        "drivers.",
        kOverrun),
    {{kNode, Topic::kNetwork, "network_dropped_packets_total", kCounter, "", "reason",
      "`kfree_skb` (Linux 5.17), in every network namespace; without reasons that are no loss, "
      "such as a closed socket's queue; whole-machine nodes only",
      "Packets the kernel threw away, by its reason; at most 32 reasons, then `other`.",
      "`socket_rcvbuff`, `socket_backlog`: programs read too slowly; `qdisc_*`, `cpu_backlog`: "
      "queues overflow; `netfilter_drop`: rules; `no_socket`: nobody listens"},
     shm::kValidPacketDrops,
     [](Series& s, const NodeRecord& r) {
       const auto count = std::min<std::size_t>(r.drop_count, shm::kDropReasonsKept);
       for (const shm::PacketDrops& drop : std::span(r.drops).first(count))
         s.value("reason", view(drop.reason), drop.packets);
     }},
});

}  // namespace

std::span<const Family<shm::Tick>> node_info_families() {
  return kInfo;
}

std::span<const Family<NodeRecord>> node_families() {
  static const auto families = [] {
    std::vector<Family<NodeRecord>> all;
    append(all, kSize);
    append(all, cpu_families<NodeRecord>(kNode));
    append(all, kCpu);
    append(all, scheduler_families<NodeRecord>(kNode));
    append(all, kInterrupts);
    append(all, kLoad);
    append(all, pressure_families<NodeRecord>(kNode));
    append(all, kRest);
    append(all, memory_families<NodeRecord>(kNode));
    append(all, filesystem_families<NodeRecord>(kNode));
    append(all, tcp_families<NodeRecord>(kNode));
    append(all, kNetwork);
    append(all, hardware_families<NodeRecord>(kNode));
    return all;
  }();
  return families;
}

}  // namespace optipod::exporter
