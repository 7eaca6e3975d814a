// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/pod_names.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <memory>

namespace optipod::agent {
namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);
constexpr std::size_t kIdLabel = 12;
constexpr std::size_t kIdLength = 64;

bool is_id(std::string_view s) {
  return s.size() == kIdLength && std::all_of(s.begin(), s.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

/// Calls `each` with the names in a directory; false when it cannot be read.
template <class Each>
bool list(const std::string& path, Each each) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) return false;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") each(name);
  }
  return true;
}

/// "3.log" is 3.
std::optional<unsigned> restarts_of(std::string_view file) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(file.data(), file.data() + file.size(), number);
  if (error != std::errc() || std::string_view(end, file.data() + file.size()) != ".log") {
    return std::nullopt;
  }
  return number;
}

std::optional<std::int64_t> birth_ns(const std::string& path) {
  struct statx info {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BTIME, &info) != 0 ||
      (info.stx_mask & STATX_BTIME) == 0) {
    return std::nullopt;
  }
  return info.stx_btime.tv_sec * 1'000'000'000 + info.stx_btime.tv_nsec;
}

/// docker's log files are links to /var/lib/docker/containers/<id>/<id>-json.log.
std::string id_in_link(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
  if (length <= 0) return {};
  std::string_view rest(target, static_cast<std::size_t>(length));
  while (!rest.empty()) {
    const auto slash = rest.find('/');
    if (const auto part = rest.substr(0, slash); is_id(part)) return std::string(part);
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  return {};
}

/// False: as at the last look.
template <class Stamp>
bool changed(const std::string& path, Stamp& last) {
  struct stat info {};
  Stamp now;
  now.there = ::stat(path.c_str(), &info) == 0;
  if (now.there) now.time = info.st_mtim;
  const bool same = now.there == last.there && now.time.tv_sec == last.time.tv_sec &&
                    now.time.tv_nsec == last.time.tv_nsec;
  last = now;
  return !same;
}

}  // namespace

std::optional<PodName> parse_pod_directory(std::string_view name, std::string& uid) {
  const auto first = name.find('_');
  const auto last = name.rfind('_');
  // Neither namespaces nor pods have an underscore in their names.
  if (first == std::string_view::npos || name.find('_', first + 1) != last || last == first ||
      first == 0 || last == first + 1 || last + 1 == name.size()) {
    return std::nullopt;
  }
  uid = name.substr(last + 1);
  return PodName{std::string(name.substr(0, first)),
                 std::string(name.substr(first + 1, last - first - 1))};
}

std::optional<std::string> parse_container_link(std::string_view name, std::string& container_id) {
  constexpr std::string_view kSuffix = ".log";
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  if (name.size() < kIdLength + 2 || name[name.size() - kIdLength - 1] != '-' ||
      !is_id(name.substr(name.size() - kIdLength))) {
    return std::nullopt;
  }
  container_id = name.substr(name.size() - kIdLength);
  name.remove_suffix(kIdLength + 1);
  const auto last = name.rfind('_');
  if (last == std::string_view::npos || last + 1 == name.size() || name.find('_') == last) {
    return std::nullopt;
  }
  return std::string(name.substr(last + 1));
}

PodNames::PodNames(std::string pods_directory) : directory_(std::move(pods_directory)) {
  while (directory_.size() > 1 && directory_.back() == '/') directory_.pop_back();
  const auto slash = directory_.rfind('/');
  links_directory_ =
      (slash == std::string::npos ? std::string() : directory_.substr(0, slash + 1)) + "containers";
}

bool PodNames::refresh() {
  const bool pods = changed(directory_, directory_stamp_);
  const bool links = changed(links_directory_, links_stamp_);
  if (pods) read_pods();
  if (links) read_links();
  return pods || links;
}

void PodNames::read_pods() {
  pods_.clear();
  list(directory_, [&](std::string_view name) {
    std::string uid;
    if (auto pod = parse_pod_directory(name, uid)) {
      pods_.insert_or_assign(uid, Pod{std::move(*pod), directory_ + "/" + std::string(name)});
    }
  });
  std::erase_if(known_, [&](const auto& known) { return !pods_.contains(known.first); });
}

void PodNames::read_links() {
  links_.clear();
  list(links_directory_, [&](std::string_view name) {
    std::string id;
    if (auto container = parse_container_link(name, id)) {
      links_.insert_or_assign(std::move(id), std::move(*container));
    }
  });
}

const PodName* PodNames::find(const std::string& uid) const {
  const auto found = pods_.find(uid);
  return found == pods_.end() ? nullptr : &found->second.name;
}

std::vector<PodNames::Log> PodNames::read_logs(const std::string& uid) const {
  std::vector<Log> logs;
  const auto pod = pods_.find(uid);
  if (pod == pods_.end()) return logs;
  list(pod->second.directory, [&](std::string_view container) {
    const std::string path = pod->second.directory + "/" + std::string(container);
    Log log{.container = std::string(container)};
    std::optional<unsigned> newest;
    bool rotated = false;
    if (!list(path, [&](std::string_view file) {
          if (const auto number = restarts_of(file)) newest = std::max(newest.value_or(0), *number);
          rotated = rotated || file.find(".log.") != std::string_view::npos;
        })) {
      return;  // not a directory
    }
    if (newest) {
      const std::string file = path + "/" + std::to_string(*newest) + ".log";
      log.started = true;
      log.id = id_in_link(file);
      if (!rotated) log.began_ns = birth_ns(file);  // a rotated log's file is younger than it
    }
    logs.push_back(std::move(log));
  });
  return logs;
}

std::size_t PodNames::sandbox_of(Known& known, std::span<const PodCgroup> cgroups,
                                 std::span<const Log> logs, std::span<const Role> roles) {
  for (std::size_t i = 0; known.sandbox != 0 && i < cgroups.size(); ++i) {
    if (cgroups[i].cgroup_id == known.sandbox) return i;
  }
  known.sandbox = 0;  // the pod got a new one
  if (cgroups.size() < 2 || roles.front().exact) return kNone;
  const bool others_named =
      std::any_of(roles.begin() + 1, roles.end(), [](const Role& role) { return role.exact; });
  if (cgroups.front().crio && !others_named && (logs.empty() || cgroups.size() <= logs.size())) {
    return kNone;
  }
  known.sandbox = cgroups.front().cgroup_id;
  return 0;
}

/// Gives the containers that nothing names exactly the names that are left, where only one way is
/// possible.
void PodNames::match_rest(std::span<Role> roles, std::size_t sandbox, std::vector<Log> logs,
                          bool crio) {
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (i != sandbox && !roles[i].exact) open.push_back(i);
    std::erase_if(logs,
                  [&](const Log& log) { return roles[i].exact && log.container == roles[i].name; });
  }
  const bool nothing_started =
      !logs.empty() &&
      std::none_of(logs.begin(), logs.end(), [](const Log& l) { return l.started; });
  if (roles.size() == 1 && open.size() == 1 && nothing_started && !crio) {
    roles[0].kind = Role::Kind::kPending;
    return;
  }
  if (open.size() != logs.size()) return;  // completed or waiting containers are among the logs
  if (open.size() > 1) {
    // kubelet starts a pod's containers one after the other: the order of logs is that of cgroups.
    if (!std::all_of(logs.begin(), logs.end(), [](const Log& l) { return l.began_ns.has_value(); }))
      return;
    std::sort(logs.begin(), logs.end(),
              [](const Log& a, const Log& b) { return *a.began_ns < *b.began_ns; });
    const auto twin = std::adjacent_find(logs.begin(), logs.end(), [](const Log& a, const Log& b) {
      return *a.began_ns == *b.began_ns;
    });
    if (twin != logs.end()) return;
  }
  for (std::size_t i = 0; i < open.size(); ++i) {
    roles[open[i]].name = logs[i].container;
    roles[open[i]].exact = true;
  }
}

std::vector<Role> PodNames::resolve(const std::string& uid, std::span<const PodCgroup> cgroups) {
  std::vector<Role> roles(cgroups.size());
  if (cgroups.empty()) return roles;
  const std::vector<Log> logs = read_logs(uid);
  const bool remembers = pods_.contains(uid);
  Known nothing;
  Known& known = remembers ? known_[uid] : nothing;
  for (std::size_t i = 0; i < cgroups.size(); ++i) {
    const std::string& id = cgroups[i].container_id;
    roles[i].name = id.substr(0, kIdLabel);
    const auto take = [&](const std::string& name) {
      roles[i] = {Role::Kind::kContainer, name, true};
    };
    if (const auto name = known.names.find(id); name != known.names.end()) take(name->second);
    for (const Log& log : logs) {
      if (!log.id.empty() && log.id == id) take(log.container);
    }
    if (const auto link = links_.find(id); link != links_.end()) take(link->second);
  }
  const std::size_t sandbox = sandbox_of(known, cgroups, logs, roles);
  if (sandbox != kNone) roles[sandbox].kind = Role::Kind::kSandbox;
  match_rest(roles, sandbox, logs, cgroups.front().crio);

  known.names.clear();
  for (std::size_t i = 0; i < cgroups.size(); ++i) {
    if (roles[i].exact) known.names.emplace(cgroups[i].container_id, roles[i].name);
  }
  return roles;
}

}  // namespace optipod::agent
