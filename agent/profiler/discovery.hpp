// SPDX-License-Identifier: Apache-2.0
//
// From the cgroup tree to the entries the agent counts for.
//
// An entry is a pod's container (all cgroups below it are charged to it) or a leaf cgroup that is
// no part of a pod. Levels above (slices, pods, kubepods) and sandboxes are none: tasks directly in
// them count for the node only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/profiler/pod_names.hpp"

namespace optipod::agent {

struct CgroupDir {
  std::uint64_t id = 0;    ///< inode
  std::string path;        ///< from the agent's root: "/" or "/a/b"
  std::size_t parent = 0;  ///< index; the root is its own
  bool leaf = true;        ///< has no directory below
};

/// The tree below `directory`, itself first, parents before children. What vanishes meanwhile is
/// left out. At most `limit` directories.
std::vector<CgroupDir> walk_cgroups(const std::string& directory, std::size_t limit = 1u << 17);

struct Entry {
  struct Member {
    std::uint64_t id = 0;
    std::string path;
    bool operator==(const Member&) const = default;
  };
  std::uint64_t cgroup_id = 0;
  std::string path;
  std::vector<Member> members;  ///< itself first, then the cgroups below it
  // As in shm::ContainerRecord; namespace_ is empty for what is not (yet) known as Kubernetes'.
  std::string namespace_, pod, container, pod_uid, container_id, qos;
  bool kubernetes = false;  ///< a pod's container, also when its pod's name is not known
};

struct EntryPlan {
  std::vector<Entry> entries;
  bool settled = true;  ///< false: the same tree may give better names, or more entries, later
};

/// `prefix` is the root's own path in the hierarchy ("/" or "/a"): a root may lie inside kubepods.
EntryPlan plan_entries(std::span<const CgroupDir> tree, std::string_view prefix, PodNames& names);

}  // namespace optipod::agent
