// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/pod.hpp"

#include <algorithm>

namespace optipod::extender::wire {
namespace {

/// `name` without "-<suffix>", if it ends so.
std::string_view without_suffix(std::string_view name, std::string_view suffix) {
  if (suffix.empty() || name.size() <= suffix.size() + 1 || !name.ends_with(suffix)) return name;
  const std::size_t length = name.size() - suffix.size() - 1;
  return name[length] == '-' ? name.substr(0, length) : name;
}

/// A CronJob names its Jobs "<name>-<minutes since 1970>".
std::string_view without_number(std::string_view name) {
  const std::size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0 || name.size() - dash < 8) return name;
  const std::string_view number = name.substr(dash + 1);
  const bool all_digits = std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
  return all_digits ? name.substr(0, dash) : name;
}

}  // namespace

std::string_view Pod::annotation(std::string_view wanted) const {
  for (const auto& [key, value] : annotations) {
    if (key == wanted) return value;
  }
  return {};
}

std::string workload_of(const Pod& pod) {
  if (pod.owner_name.empty()) return {};
  std::string_view kind = pod.owner_kind;
  std::string_view name = pod.owner_name;
  if (kind == "ReplicaSet" && !pod.template_hash.empty()) {
    name = without_suffix(name, pod.template_hash);
    if (name.size() != pod.owner_name.size()) kind = "Deployment";
  } else if (kind == "Job") {
    name = without_number(name);
  }
  std::string key;
  key.reserve(pod.name_space.size() + kind.size() + name.size() + 2);
  key.append(pod.name_space).append("/").append(kind).append("/").append(name);
  return key;
}

}  // namespace optipod::extender::wire
