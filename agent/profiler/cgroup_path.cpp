// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/cgroup_path.hpp"

#include <algorithm>
#include <optional>
#include <vector>

namespace optipod::agent {
namespace {

using Kind = CgroupPath::Kind;

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}
bool all_hex(std::string_view s) {
  return !s.empty() && std::all_of(s.begin(), s.end(), is_hex);
}

/// Takes `suffix` off the end of `s`.
bool consume_suffix(std::string_view& s, std::string_view suffix) {
  if (!s.ends_with(suffix)) return false;
  s.remove_suffix(suffix.size());
  return true;
}

/// 8-4-4-4-12 hexadecimal digits, or the 32 of a static pod's configuration hash.
bool is_certain_uid(std::string_view uid) {
  if (uid.size() == 32) return all_hex(uid);
  if (uid.size() != 36) return false;
  for (std::size_t i = 0; i < uid.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? uid[i] != '-' : !is_hex(uid[i])) return false;
  }
  return true;
}

bool is_possible_uid(std::string_view uid) {
  return !uid.empty() && uid.size() < 40 && std::all_of(uid.begin(), uid.end(), [](char c) {
    return c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

/// "kubepods", "kubepods.slice", "kubepods-burstable.slice", "kubelet-kubepods.slice" …
bool is_kubepods(std::string_view name) {
  consume_suffix(name, ".slice");
  if (!consume_suffix(name, "-burstable")) consume_suffix(name, "-besteffort");
  return name == "kubepods" || name.ends_with("-kubepods");
}

bool is_qos(std::string_view name) {
  return name == "burstable" || name == "besteffort";
}

struct Pod {
  std::string uid, qos;
};

/// systemd driver: [kubelet-]kubepods[-burstable|-besteffort]-pod<uid with _>.slice
std::optional<Pod> systemd_pod(std::string_view name) {
  if (!consume_suffix(name, ".slice")) return std::nullopt;
  const auto kubepods = name.find("kubepods");
  if (kubepods == std::string_view::npos) return std::nullopt;
  const auto pod = name.find("-pod", kubepods + 8);
  if (pod == std::string_view::npos) return std::nullopt;
  const std::string_view qos = name.substr(kubepods + 8, pod - kubepods - 8);
  if (!qos.empty() && !(qos.front() == '-' && is_qos(qos.substr(1)))) return std::nullopt;
  Pod result{std::string(name.substr(pod + 4)),
             qos.empty() ? "guaranteed" : std::string(qos.substr(1))};
  std::replace(result.uid.begin(), result.uid.end(), '_', '-');
  if (!is_possible_uid(result.uid)) return std::nullopt;
  return result;
}

/// cgroupfs driver: kubepods[/burstable|/besteffort]/pod<uid>. Outside kubepods (a cgroup
/// namespace that begins lower) only what cannot be anything else.
std::optional<Pod> cgroupfs_pod(std::string_view name, std::string_view parent, bool in_kubepods) {
  if (!name.starts_with("pod")) return std::nullopt;
  const std::string_view uid = name.substr(3);
  if (!is_certain_uid(uid) && !(in_kubepods && is_possible_uid(uid))) return std::nullopt;
  return Pod{std::string(uid), is_qos(parent) ? std::string(parent) : "guaranteed"};
}

struct Container {
  std::string id, runtime;
  bool helper = false;
};

std::string runtime_name(std::string_view prefix) {
  return prefix == "cri-containerd" ? "containerd" : std::string(prefix);
}

/// <id>, <runtime>-<id>, <runtime>-<id>.scope, and crio-conmon-<id> in both spellings.
std::optional<Container> container(std::string_view name) {
  consume_suffix(name, ".scope");
  const auto dash = name.rfind('-');
  const std::string_view id = dash == std::string_view::npos ? name : name.substr(dash + 1);
  if (!all_hex(id) || id.size() < 12 || id.size() > 64) return std::nullopt;
  if (dash == std::string_view::npos) return Container{std::string(id), ""};
  const std::string_view prefix = name.substr(0, dash);
  return Container{std::string(id), runtime_name(prefix), prefix.ends_with("-conmon")};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto at = text.find(separator);
    if (at != 0 && !text.empty()) parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

/// Goes down the path one component at a time.
class Descent {
 public:
  void enter(std::string_view name) {
    ++depth_;
    if (enter_colon_form(name)) return;
    if (is_kubepods(name)) in_kubepods_ = true;
    auto pod = systemd_pod(name);
    if (!pod) pod = cgroupfs_pod(name, parent_, in_kubepods_);
    if (pod) {
      found_pod(std::move(*pod));
    } else if (result_.kind == Kind::kPod) {
      if (auto found = container(name)) found_container(std::move(*found));
    } else if (result_.kind == Kind::kSystem || result_.kind == Kind::kKubepods) {
      const bool level = is_kubepods(name) || (result_.kind == Kind::kKubepods && is_qos(name));
      result_.kind = level ? Kind::kKubepods : Kind::kSystem;
    }
    parent_ = name;
  }

  [[nodiscard]] CgroupPath result() const { return result_; }

 private:
  /// kubepods-burstable-pod<uid>.slice:cri-containerd:<id>, when containerd was told to use systemd
  /// cgroups and does not: pod and container in one component.
  bool enter_colon_form(std::string_view name) {
    const auto parts = split(name, ':');
    if (parts.size() != 3) return false;
    auto pod = systemd_pod(parts[0]);
    if (!pod || !all_hex(parts[2]) || parts[2].size() < 12) return false;
    found_pod(std::move(*pod));
    found_container({std::string(parts[2]), runtime_name(parts[1])});
    return true;
  }

  void found_pod(Pod pod) {
    result_ = {};
    result_.kind = Kind::kPod;
    result_.pod_uid = std::move(pod.uid);
    result_.qos = std::move(pod.qos);
  }

  void found_container(Container found) {
    result_.kind = found.helper ? Kind::kIgnored : Kind::kContainer;
    if (found.helper) return;
    result_.container_id = std::move(found.id);
    result_.runtime = std::move(found.runtime);
    result_.container_depth = depth_;
  }

  CgroupPath result_;
  std::string_view parent_;
  std::size_t depth_ = 0;
  bool in_kubepods_ = false;
};

}  // namespace

CgroupPath parse_cgroup_path(std::string_view path) {
  Descent descent;
  for (const std::string_view name : split(path, '/')) descent.enter(name);
  return descent.result();
}

std::size_t path_depth(std::string_view path) {
  return split(path, '/').size();
}

}  // namespace optipod::agent
