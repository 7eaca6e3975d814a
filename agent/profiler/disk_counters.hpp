// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/profiler/since.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

/// What the kernel's files say of disks where no program counts their requests: bytes and what is
/// on its way, but not how long it takes. Of the machine: a subtree of it has none of them.
class DiskCounters {
 public:
  /// Files below `proc` and `sys`: other places in tests.
  explicit DiskCounters(bool whole_machine, std::string proc = "/proc", std::string sys = "/sys");

  /// Replaces `out` with the disks, not their partitions, that had I/O since the first call.
  void sample(std::vector<shm::DeviceRecord>& out);

 private:
  struct Disk {
    Since bytes[shm::kOperations];
    bool known = false, whole = false;
  };
  bool whole_machine_;
  std::string proc_, sys_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Disk> disks_;
};

}  // namespace optipod::agent
