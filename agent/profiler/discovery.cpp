// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/discovery.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <memory>

#include "agent/profiler/cgroup_path.hpp"

namespace optipod::agent {
namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

/// Appends the directories below tree[parent]. kernfs keeps a directory's link count at two plus
/// its directories, so leaves are known without reading them.
void descend(const std::string& root, std::size_t parent, std::size_t limit,
             std::vector<CgroupDir>& tree) {
  const std::string below = tree[parent].path == "/" ? "" : tree[parent].path;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir((root + below).c_str()), ::closedir);
  if (!dir) return;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (entry->d_type != DT_DIR || name == "." || name == ".." || tree.size() >= limit) continue;
    struct stat info {};
    if (::fstatat(::dirfd(dir.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    tree.push_back({info.st_ino, below + "/" + std::string(name), parent, true});
    tree[parent].leaf = false;
    if (info.st_nlink != 2) descend(root, tree.size() - 1, limit, tree);
  }
}

struct PodParts {
  std::vector<PodCgroup> cgroups;
  std::vector<std::size_t> entries;  // the same order
};

class Planner {
 public:
  Planner(std::span<const CgroupDir> tree, std::string_view prefix, PodNames& names)
      : tree_(tree),
        prefix_(prefix == "/" ? "" : prefix),
        names_(names),
        owner_(tree.size(), kNone) {}

  EntryPlan run() {
    for (std::size_t i = 1; i < tree_.size(); ++i) place(i);
    for (auto& [uid, pod] : pods_) name_pod(uid, pod);
    std::erase_if(entries_, [](const Entry& e) { return e.members.empty(); });
    return {std::move(entries_), settled_};
  }

 private:
  void place(std::size_t i) {
    const CgroupDir& dir = tree_[i];
    const std::string full = prefix_ + dir.path;
    CgroupPath path = parse_cgroup_path(full);
    using Kind = CgroupPath::Kind;
    if (path.kind == Kind::kContainer && path_depth(full) > path.container_depth) {
      owner_[i] = owner_[dir.parent];
      if (owner_[i] != kNone) {
        entries_[owner_[i]].members.push_back({dir.id, dir.path});
        return;
      }
      path.kind = Kind::kSystem;  // the root lies inside that container
    }
    if (path.kind == Kind::kContainer) {
      owner_[i] = entries_.size();
      PodParts& pod = pods_[path.pod_uid];
      pod.cgroups.push_back({dir.id, path.container_id, path.runtime == "crio"});
      pod.entries.push_back(entries_.size());
      Entry entry = bare(dir);
      entry.kubernetes = true;
      entry.pod_uid = std::move(path.pod_uid);
      entry.container_id = std::move(path.container_id);
      entry.qos = std::move(path.qos);
      entries_.push_back(std::move(entry));
    } else if (path.kind == Kind::kSystem && dir.leaf) {
      entries_.push_back(bare(dir));
    }
  }

  static Entry bare(const CgroupDir& dir) {
    Entry entry;
    entry.cgroup_id = dir.id;
    entry.path = dir.path;
    entry.container = dir.path;
    entry.members.push_back({dir.id, dir.path});
    return entry;
  }

  /// Gives the pod's entries their names; those that are none lose their members.
  void name_pod(const std::string& uid, PodParts& pod) {
    std::vector<std::size_t> order(pod.cgroups.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return pod.cgroups[a].cgroup_id < pod.cgroups[b].cgroup_id;
    });
    std::vector<PodCgroup> cgroups;
    cgroups.reserve(order.size());
    for (const std::size_t i : order) cgroups.push_back(pod.cgroups[i]);
    const auto roles = names_.resolve(uid, cgroups);
    const PodName* name = names_.find(uid);
    for (std::size_t i = 0; i < order.size(); ++i) {
      Entry& entry = entries_[pod.entries[order[i]]];
      if (roles[i].kind != Role::Kind::kContainer) {
        settled_ = settled_ && roles[i].kind == Role::Kind::kSandbox;
        entry.members.clear();
        continue;
      }
      settled_ = settled_ && name != nullptr && roles[i].exact;
      if (name == nullptr) {
        // Half an identity is none: shown by its path until the pod's name is known.
        entry.pod_uid.clear();
        entry.container_id.clear();
        entry.qos.clear();
        continue;
      }
      entry.namespace_ = name->namespace_;
      entry.pod = name->pod;
      entry.container = roles[i].name;
    }
  }

  std::span<const CgroupDir> tree_;
  std::string prefix_;
  PodNames& names_;
  std::vector<std::size_t> owner_;  // per directory: the entry it is charged to
  std::vector<Entry> entries_;
  std::map<std::string, PodParts> pods_;  // by uid
  bool settled_ = true;
};

}  // namespace

std::vector<CgroupDir> walk_cgroups(const std::string& directory, std::size_t limit) {
  std::vector<CgroupDir> tree;
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0) return tree;
  tree.push_back({info.st_ino, "/", 0, true});
  descend(directory, 0, limit, tree);
  return tree;
}

EntryPlan plan_entries(std::span<const CgroupDir> tree, std::string_view prefix, PodNames& names) {
  return Planner(tree, prefix, names).run();
}

}  // namespace optipod::agent
