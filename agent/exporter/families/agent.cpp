// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/families/families.hpp"

namespace optipod::exporter {
namespace {

using enum text::MetricType;
using shm::Tick;
using Feature = shm::AgentRecord::Feature;
constexpr Subject kAgent = Subject::kAgent;
constexpr Topic kSelf = Topic::kSelf;

constexpr auto kStatus = std::to_array<Family<Status>>({
    {{kAgent, Topic::kStatus, "up", kGauge, "", "", "the segment's lock and heartbeat",
      "1 while the agent publishes; 0: gone, hung, closed or unreadable.", ""},
     0,
     [](Series& s, const Status& status) { s.value(status.up ? 1 : 0); }},
    {{Subject::kSample, Topic::kStatus, "timestamp_seconds", kGauge, "seconds", "",
      "`CLOCK_REALTIME`; stays when the agent is gone",
      "Unix time at which the values on this page were read from the kernel.", ""},
     0,
     [](Series& s, const Status& status) {
       if (status.sampled_realtime_ns) s.seconds(*status.sampled_realtime_ns);
     }},
});

constexpr auto kFeatures = std::to_array<Family<Feature>>({
    {{kAgent, kSelf, "feature_enabled", kGauge, "", "feature,source",
      "the agent's probes of the kernel",
      "What this kernel gives and from where; when 0, source says why not.", ""},
     0,
     [](Series& s, const Feature& f) { s.value(f.enabled != 0 ? 1 : 0); }},
});

constexpr auto kPrograms = std::to_array<Family<ProgramState>>({
    {{kAgent, kSelf, "bpf_runs_total", kCounter, "", "program", "the programs' `run_cnt`",
      "Runs of an eBPF program while kernel.bpf_stats_enabled was on.", "a busy hook"},
     ProgramState::kTimed,
     [](Series& s, const ProgramState& p) { s.value(p.program.runs); }},
    {{kAgent, kSelf, "bpf_run_seconds_total", kCounter, "seconds", "program",
      "the programs' `run_time_ns`",
      "Time spent in an eBPF program while kernel.bpf_stats_enabled was on.",
      "what measuring costs, spread over the CPUs"},
     ProgramState::kTimed,
     [](Series& s, const ProgramState& p) { s.seconds(p.program.run_ns); }},
    {{kAgent, kSelf, "bpf_missed_runs_total", kCounter, "", "program",
      "the programs' `recursion_misses` (Linux 5.12)",
      "Events an eBPF program did not see, because they came while it ran on that CPU already.",
      "its counts lack so many"},
     ProgramState::kMissesKnown,
     [](Series& s, const ProgramState& p) { s.value(p.missed_runs); }},
});

constexpr std::array<Label, 2> kMode = {{{"mode", "user"}, {"mode", "system"}}};

constexpr std::array<Label, 1> kOverLimit = {{{"reason", "over_limit"}}};
struct Dropped {
  shm::DropKind kind;
  std::uint64_t known_where;  ///< bits of the node's record
  std::array<Label, 1> label;
};
constexpr Dropped kDropped[] = {
    {shm::kDroppedStalls, shm::kValidReclaimStall, {{{"what", "reclaim_stalls"}}}},
    {shm::kDroppedCgroups, shm::kValidShortLived, {{{"what", "new_cgroups"}}}},
    {shm::kDroppedConnections, shm::kValidTcp, {{{"what", "tcp_connections"}}}},
    {shm::kDroppedTasks, shm::kValidFiles, {{{"what", "task_looks"}}}},
    {shm::kDroppedRequests, shm::kValidDroppedRequests, {{{"what", "block_requests"}}}}};
static_assert(std::size(kDropped) == shm::kDropKinds);

constexpr std::array<Label, 1> kShortLived = {{{"reason", "short_lived"}}};

constexpr auto kOwn = std::to_array<Family<Tick>>({
    {{kAgent, kSelf, "cpu_seconds_total", kCounter, "seconds", "mode={user,system}", "`getrusage`",
      "CPU time of the agent process itself.", "what measuring costs in user space"},
     0,
     [](Series& s, const Tick& t) {
       s.seconds(kMode, {t.agent.cpu_user_ns, t.agent.cpu_system_ns});
     }},
    {{kAgent, kSelf, "resident_memory_bytes", kGauge, "bytes", "", "`/proc/self/statm`",
      "Resident memory of the agent process.", ""},
     0,
     [](Series& s, const Tick& t) { s.value(t.agent.resident_bytes); }},
    {{kAgent, kSelf, "tick_duration_seconds", kGauge, "seconds", "", "the agent's clock",
      "Time the agent worked for its last tick.", "near the interval: it cannot keep up"},
     0,
     [](Series& s, const Tick& t) { s.seconds(t.agent.tick_duration_ns); }},
    {{kAgent, kSelf, "ticks_total", kCounter, "", "", "the agent", "Ticks the agent published.",
      ""},
     0,
     [](Series& s, const Tick& t) { s.value(t.node.tick + 1); }},
    {{kAgent, kSelf, "ticks_missed_total", kCounter, "", "", "the agent",
      "Ticks left out because their time had passed before they began.",
      "the agent gets no CPU, or a tick takes too long"},
     0,
     [](Series& s, const Tick& t) { s.value(t.agent.ticks_missed); }},
    {{kAgent, kSelf, "errors_total", kCounter, "", "", "the agent",
      "Slots that could not be given, and walks over cgroups, tasks or connections that could not "
      "be run.",
      "values are missing or late; the agent's log says which"},
     0,
     [](Series& s, const Tick& t) { s.value(t.agent.errors); }},
    {{kAgent, kSelf, "containers", kGauge, "", "", "the agent",
      "Containers and other leaf cgroups with their own series.", ""},
     0,
     [](Series& s, const Tick& t) { s.value(t.containers.size()); }},
    {{kAgent, kSelf, "containers_cut", kGauge, "", "", "the agent",
      "Cgroups without own series: over --max-containers.", "raise `--max-containers`"},
     0,
     [](Series& s, const Tick& t) { s.value(t.node.containers_cut); }},
    {{kAgent, kSelf, "container_cuts_total", kCounter, "", "reason={over_limit,short_lived}",
      "the agent; `cgroup_mkdir` for the short-lived, absent without",
      "Containers and services that never got own series: there was no room for them, or they "
      "were gone before they were looked for (sandboxes of pods among those).",
      "`over_limit`: raise `--max-containers`; `short_lived`: what they did counts for the node "
      "only"},
     0,
     [](Series& s, const Tick& t) {
       s.values(kOverLimit, {t.agent.container_cuts[shm::kOverLimit]});
       if ((t.node.valid & shm::kValidShortLived) != 0)
         s.values(kShortLived, {t.agent.container_cuts[shm::kShortLived]});
     }},
    {{kAgent, kSelf, "dropped_total", kCounter, "",
      "what={reclaim_stalls,new_cgroups,tcp_connections,task_looks,block_requests}",
      "the programs themselves",
      "What the eBPF programs could not count for want of room or memory.",
      "the values of these lack so many; `new_cgroups` are found at the next tick instead"},
     0,
     [](Series& s, const Tick& t) {
       if ((t.node.valid & shm::kValidDropped) == 0) return;
       for (const Dropped& one : kDropped)
         if ((t.node.valid & one.known_where) != 0)
           s.values(one.label, {t.agent.dropped[one.kind]});
     }},
});

}  // namespace

std::span<const Family<Status>> status_families() {
  return kStatus;
}
std::span<const Family<Feature>> feature_families() {
  return kFeatures;
}
std::span<const Family<ProgramState>> program_families() {
  return kPrograms;
}
std::span<const Family<Tick>> agent_families() {
  return kOwn;
}

}  // namespace optipod::exporter
