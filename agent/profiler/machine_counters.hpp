// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/profiler/entry_sampler.hpp"
#include "agent/profiler/read_file.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

/// Counters that the kernel keeps for the machine as a whole: page faults, refaults, allocated
/// memory and OOM kills of /proc/vmstat, TCP segments of the host's network namespace. A node that
/// is a subtree of the machine has none of them.
class MachineCounters {
 public:
  /// Files below `proc`: another place in tests.
  MachineCounters(bool whole_machine, std::string proc = "/proc");

  /// Fills what could be read, with its valid bits; counts from the first call on.
  void sample(shm::NodeRecord& node);
  /// What there is, and why not.
  [[nodiscard]] std::vector<shm::AgentRecord::Feature> features() const;

 private:
  bool whole_machine_;
  std::string proc_;
  KeptFile snmp_, loadavg_;
  Since page_faults_, minor_faults_, major_faults_, oom_kills_, allocated_, sent_, retransmitted_,
      refaults_anon_, refaults_file_;
};

}  // namespace optipod::agent
