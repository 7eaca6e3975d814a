// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/machine_counters.hpp"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/profiler/host_network.hpp"
#include "agent/profiler/parse_stat.hpp"
#include "agent/profiler/self_sampler.hpp"

namespace optipod::agent {
MachineCounters::MachineCounters(bool whole_machine, std::string proc)
    : whole_machine_(whole_machine), proc_(std::move(proc)) {
  if (!whole_machine_) return;
  loadavg_ = KeptFile(proc_ + "/loadavg");
  if (const auto files = host_network_files(proc_); !files.empty())
    snmp_ = KeptFile(files + "/snmp");
}

void MachineCounters::sample(shm::NodeRecord& node) {
  if (!whole_machine_) return;
  // Not kept open: it may be longer than a KeptFile reads.
  const auto page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  if (const auto memory = parse_vmstat(read_file(proc_ + "/vmstat"))) {
    node.page_faults = page_faults_(memory->page_faults);
    node.memory_allocated_bytes = allocated_(memory->pages_allocated * page_bytes);
    node.valid |= shm::kValidVmEvents;
    if (memory->major_faults) {
      node.memory.page_faults[shm::kMajor] = major_faults_(*memory->major_faults);
      node.memory.page_faults[shm::kMinor] =
          minor_faults_(memory->page_faults - std::min(memory->page_faults, *memory->major_faults));
      node.valid |= shm::kValidPageFaults;
    }
    if (memory->refaults) {
      node.refaults_anon = refaults_anon_(memory->refaults->anon);
      node.refaults_file = refaults_file_(memory->refaults->file);
      node.valid |= shm::kValidRefaults;
    }
    if (memory->oom_kills) {
      node.memory.oom_kills = oom_kills_(*memory->oom_kills);
      node.valid |= shm::kValidOomKills;
    }
  }
  // Not kept open, either: the numbers of all interrupts are in it.
  const auto tasks = parse_task_counts(read_file(proc_ + "/stat"));
  if (const auto load = parse_loadavg(loadavg_.read()); load && tasks) {
    std::copy(std::begin(load->milli), std::end(load->milli), node.load_average_milli);
    node.tasks_runnable = tasks->runnable;
    node.tasks_blocked = tasks->blocked;
    node.valid |= shm::kValidLoad;
  }
  if (const auto tcp = parse_snmp_tcp(snmp_.read())) {
    // The kernel counts as sent what is sent for the first time.
    node.tcp_retransmitted_segments = retransmitted_(tcp->retransmitted);
    node.tcp_sent_segments = sent_(tcp->sent_first + tcp->retransmitted);
    node.valid |= shm::kValidTcpSegments;
  }
}

std::vector<shm::AgentRecord::Feature> MachineCounters::features() const {
  constexpr const char* kSubtree = "only of a whole machine";
  const bool memory = whole_machine_ && parse_vmstat(read_file(proc_ + "/vmstat")).has_value();
  const bool tcp = parse_snmp_tcp(snmp_.read()).has_value();
  return {make_feature("vm_events",
                       memory           ? "file"
                       : whole_machine_ ? "no /proc/vmstat readable"
                                        : kSubtree,
                       memory),
          make_feature("tcp_segments",
                       tcp              ? "file"
                       : whole_machine_ ? "needs hostNetwork or hostPID"
                                        : kSubtree,
                       tcp)};
}

}  // namespace optipod::agent
