// SPDX-License-Identifier: Apache-2.0
//
// Names of pods and containers without API, token or runtime socket: from the log directories that
// every kubelet keeps.
//
//   /var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log     who is there
//   /var/log/containers/<pod>_<namespace>_<container>-<id>.log           which id has which name
//
// The second directory (kubelet's links, looked for beside the first) and, with docker, the target
// of the log file itself name the container exactly. Without them the name is concluded where there
// is only one possibility, and otherwise the first 12 characters of the id stand for it: a name is
// never guessed.
//
// The sandbox ("pause") has no log and is not shown; its tasks count for the node. It is the oldest
// cgroup of its pod, except with cri-o, which may have none: there, and in a pod whose only
// container has not started, it is known by what else is (not) there. Cgroup ids grow with time.
#pragma once

#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace optipod::agent {

struct PodName {
  std::string namespace_, pod;
};

/// A container's cgroup inside one pod.
struct PodCgroup {
  std::uint64_t cgroup_id = 0;
  std::string container_id;
  bool crio = false;
};

struct Role {
  enum class Kind {
    kContainer,
    kSandbox,
    kPending  ///< the only cgroup of a pod none of whose containers has started: wait
  };
  Kind kind = Kind::kContainer;
  std::string name;    ///< of a kContainer; never empty
  bool exact = false;  ///< the name is the container's; false: it may become known later
};

/// Splits "<namespace>_<pod>_<uid>".
std::optional<PodName> parse_pod_directory(std::string_view name, std::string& uid);
/// The container's name and id in "<pod>_<namespace>_<container>-<64 hex>.log".
std::optional<std::string> parse_container_link(std::string_view name, std::string& container_id);

/// One thread. Reads directories only when they changed.
class PodNames {
 public:
  explicit PodNames(std::string pods_directory);

  /// Looks whether directories changed; true when names may be others than before.
  bool refresh();
  /// nullptr: no such pod known.
  [[nodiscard]] const PodName* find(const std::string& uid) const;
  /// The roles of a pod's cgroups, which are ordered by cgroup id, in the same order.
  std::vector<Role> resolve(const std::string& uid, std::span<const PodCgroup> cgroups);

 private:
  struct Log {
    std::string container;
    bool started = false;                  ///< a log file is there
    std::optional<std::int64_t> began_ns;  ///< when the newest instance's log was made; if known
    std::string id;                        ///< container id the log file's link names, "" if none
  };
  /// What was found out about a pod stays true while its cgroups live, whatever becomes of the
  /// logs.
  struct Known {
    std::uint64_t sandbox = 0;                           // cgroup id; 0: none known
    std::unordered_map<std::string, std::string> names;  // container id -> name
  };
  struct Stamp {
    timespec time{};
    bool there = false;
  };

  void read_pods();
  void read_links();
  [[nodiscard]] std::vector<Log> read_logs(const std::string& uid) const;
  static std::size_t sandbox_of(Known& known, std::span<const PodCgroup> cgroups,
                                std::span<const Log> logs, std::span<const Role> roles);
  static void match_rest(std::span<Role> roles, std::size_t sandbox, std::vector<Log> logs,
                         bool crio);

  std::string directory_, links_directory_;
  Stamp directory_stamp_, links_stamp_;
  struct Pod {
    PodName name;
    std::string directory;
  };
  std::unordered_map<std::string, Pod> pods_;           // by uid
  std::unordered_map<std::string, std::string> links_;  // container id -> name
  std::unordered_map<std::string, Known> known_;        // by uid; only of pods in pods_
};

}  // namespace optipod::agent
