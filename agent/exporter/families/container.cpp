// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/families/families.hpp"
#include "agent/exporter/families/shared.hpp"

namespace optipod::exporter {
namespace {

using shm::ContainerRecord;
using enum MetricType;
constexpr Subject kContainer = Subject::kContainer;

constexpr auto kInfo = std::to_array<Family<ContainerRecord>>({
    {{kContainer, Topic::kInfo, "info", kGauge, "", "pod_uid,container_id,qos",
      "the cgroup's path, the names in `/var/log/pods`", "Identity of a Kubernetes container.", ""},
     0,
     [](Series& s, const ContainerRecord& r) {
       if (view(r.namespace_).empty()) return;
       s.info({{"pod_uid", view(r.pod_uid)},
               {"container_id", view(r.container_id)},
               {"qos", view(r.qos)}});
     }},
});

constexpr std::string_view kThrottling = "`iter.s/cgroup`, else `cpu.stat`";
constexpr auto kLimit = std::to_array<Family<ContainerRecord>>({
    {{kContainer, Topic::kCpu, "cpu_throttled_seconds_total", kCounter, "seconds", "", kThrottling,
      "Time the container was held back by its own CPU limit.",
      "its limit is too low: no fault of the node"},
     shm::kValidThrottling,
     [](Series& s, const ContainerRecord& r) { s.seconds(r.cpu_throttled_ns); }},
    {{kContainer, Topic::kCpu, "cpu_periods_total", kCounter, "", "", kThrottling,
      "Enforcement periods of the CPU limit in which the container ran.", ""},
     shm::kValidThrottling,
     [](Series& s, const ContainerRecord& r) { s.value(r.cpu_periods); }},
    {{kContainer, Topic::kCpu, "cpu_throttled_periods_total", kCounter, "", "", kThrottling,
      "Enforcement periods in which the CPU limit held the container back.",
      "near the periods: held back in each of them"},
     shm::kValidThrottling,
     [](Series& s, const ContainerRecord& r) { s.value(r.cpu_throttled_periods); }},
});

constexpr auto kInterrupts = std::to_array<Family<ContainerRecord>>({
    {{kContainer, Topic::kCpu, "irq_stolen_seconds_total", kCounter, "seconds", "",
      "`softirq_*` and `irq_handler_*` while a task of it has the CPU",
      "Time interrupts and softirqs ran on the container's CPU time, whoever they were for.",
      "interrupts take the CPU from it, or (networking) work for it"},
     shm::kValidIrqStolen,
     [](Series& s, const ContainerRecord& r) { s.seconds(r.irq_stolen_ns); }},
});

constexpr std::string_view kMemoryStat = "`memory.stat`, at most 10 ticks old";
constexpr auto kMemory = std::to_array<Family<ContainerRecord>>({
    {{kContainer, Topic::kMemory, "memory_usage_bytes", kGauge, "bytes", "", "`memory.current`",
      "Memory charged to the container, page cache included.",
      "it uses much; page cache among it can be taken back"},
     shm::kValidMemory,
     [](Series& s, const ContainerRecord& r) { s.value(r.memory_current_bytes); }},
    {{kContainer, Topic::kMemory, "memory_working_set_bytes", kGauge, "bytes", "",
      "`memory.current` less `inactive_file` of `memory.stat`, at most 10 ticks old",
      "Memory in use that cannot simply be taken back, by the kubelet's rule.",
      "near the limit: reclaim, then an OOM kill"},
     shm::kValidMemoryDetail,
     [](Series& s, const ContainerRecord& r) { s.value(r.memory_use.working_set_bytes); }},
    {{kContainer, Topic::kMemory, "memory_anon_bytes", kGauge, "bytes", "", kMemoryStat,
      "Memory of programs that is in no file.", "it can only be swapped out"},
     shm::kValidMemoryDetail,
     [](Series& s, const ContainerRecord& r) { s.value(r.memory_use.anon_bytes); }},
    {{kContainer, Topic::kMemory, "memory_file_bytes", kGauge, "bytes", "", kMemoryStat,
      "Page cache.", "it can be taken back, at the price of reading it again"},
     shm::kValidMemoryDetail,
     [](Series& s, const ContainerRecord& r) { s.value(r.memory_use.file_bytes); }},
    {{kContainer, Topic::kMemory, "memory_limit_bytes", kGauge, "bytes", "", "`memory.max`",
      "The container's own memory limit; absent when there is none.", ""},
     shm::kValidMemoryLimit,
     [](Series& s, const ContainerRecord& r) { s.value(r.memory_use.limit_bytes); }},
    {{kContainer, Topic::kMemory, "memory_workingset_refaults_total", kCounter, "",
      "type={anon,file}", kMemoryStat, "Pages that were given up and soon needed again.",
      "memory is too small for what is in use: thrashing begins"},
     shm::kValidRefaults,
     [](Series& s, const ContainerRecord& r) {
       const std::uint64_t refaults[] = {r.memory_use.refaults_anon, r.memory_use.refaults_file};
       s.values(kRefaultType, refaults);
     }},
    {{kContainer, Topic::kMemory, "memory_allocated_bytes_total", kCounter, "bytes", "",
      "`mm_page_alloc`, charged 256 KiB at a time; with `--page-allocations`",
      "Memory the kernel's page allocator handed out to its tasks.",
      "its memory turns over fast; who shares the memory's bandwidth suffers"},
     shm::kValidAllocations,
     [](Series& s, const ContainerRecord& r) { s.value(r.memory_allocated_bytes); }},
});

constexpr std::string_view kPairs = "`sched_switch`, per pair of slots; at most 8 per container";
constexpr auto kNeighbours = std::to_array<Family<shm::NeighbourRecord>>({
    {{kContainer, Topic::kCpu, "cpu_preempted_by_total", kCounter, "",
      "by_namespace,by_pod,by_container", kPairs,
      "Running tasks of the container displaced by tasks of another, for those that did it most; "
      "no name: by something that is not told apart.",
      "this is the noisy neighbour"},
     0,
     [](Series& s, const shm::NeighbourRecord& r) { s.value(r.preemptions); }},
    {{kContainer, Topic::kCpu, "cpu_taken_by_seconds_total", kCounter, "seconds",
      "by_namespace,by_pod,by_container", kPairs,
      "How long the other's task then ran, up to the next context switch: a lower bound of the "
      "wait it caused.",
      "this is the noisy neighbour"},
     0,
     [](Series& s, const shm::NeighbourRecord& r) { s.seconds(r.taken_ns); }},
});

}  // namespace

std::span<const Family<ContainerRecord>> container_families() {
  static const auto families = [] {
    std::vector<Family<ContainerRecord>> all;
    append(all, kInfo);
    append(all, cpu_families<ContainerRecord>(kContainer));
    append(all, scheduler_families<ContainerRecord>(kContainer));
    append(all, kInterrupts);
    append(all, kLimit);
    append(all, pressure_families<ContainerRecord>(kContainer));
    append(all, block_families<ContainerRecord>(kContainer, "operation={read,write}"));
    append(all, kMemory);
    append(all, memory_families<ContainerRecord>(kContainer));
    append(all, filesystem_families<ContainerRecord>(kContainer));
    append(all, tcp_families<ContainerRecord>(kContainer));
    append(all, hardware_families<ContainerRecord>(kContainer));
    return all;
  }();
  return families;
}

std::span<const Family<shm::NeighbourRecord>> neighbour_families() {
  return kNeighbours;
}

}  // namespace optipod::exporter
