// SPDX-License-Identifier: Apache-2.0
//
// Where the agent's part of the cgroup v2 hierarchy is, and that no other agent has it.
#pragma once

#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "shm/fd.hpp"

namespace optipod::agent {

struct CgroupRoot {
  std::string mount;  ///< /sys/fs/cgroup, or /sys/fs/cgroup/unified on hybrid hosts
  std::string path;   ///< below the mount, normalised; "/" is all of it
  [[nodiscard]] std::string directory() const { return path == "/" ? mount : mount + path; }
};

/// Mount point of the first cgroup2 line of a mountinfo; "" when there is none.
std::string find_cgroup2_mount(std::string_view mountinfo);

/// `wanted` is a path below the mount, or a full path that begins with it.
tl::expected<CgroupRoot, std::string> resolve_cgroup_root(const std::string& mount,
                                                          const std::string& wanted);

/// Name of the process that holds the flock on this file, from the text of /proc/locks; "" unknown.
std::string find_lock_holder(std::string_view locks, unsigned major, unsigned minor,
                             unsigned long inode);

/// The directory, opened and locked for as long as the Fd lives. The lock is on the cgroup itself:
/// it needs no file, is seen from every container, and goes with the process. The error names the
/// holder.
struct LockError {
  bool held = false;  ///< another agent has it
  std::string message;
};
tl::expected<shm::Fd, LockError> lock_cgroup_root(const CgroupRoot& root);

}  // namespace optipod::agent
