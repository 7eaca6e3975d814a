// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/workloads.hpp"

#include <functional>

namespace optipod::extender {

Usage usage_of(const wire::Resources& requests) {
  return {.cpu = requests.cpu() > 0 ? requests.cpu() : kUnstated.cpu,
          .memory = requests.memory() > 0 ? requests.memory() : kUnstated.memory};
}

std::uint64_t Workloads::key(std::string_view workload) {
  return workload.empty() ? 0 : std::hash<std::string_view>{}(workload) | 1U;
}

void Workloads::learn(std::uint64_t workload, const Usage& mean) {
  if (workload == 0) return;
  const std::lock_guard lock(mutex_);
  const auto found = profiles_.find(workload);
  if (found == profiles_.end()) {
    if (profiles_.size() < kMost) profiles_.emplace(workload, Profile{mean, round_});
    return;
  }
  Profile& profile = found->second;
  profile.usage.cpu += kLearning * (mean.cpu - profile.usage.cpu);
  profile.usage.memory += kLearning * (mean.memory - profile.usage.memory);
  profile.round = round_;
}

void Workloads::end_round() {
  const std::lock_guard lock(mutex_);
  ++round_;
  std::erase_if(profiles_,
                [this](const auto& p) { return p.second.round + kForgottenAfter < round_; });
}

std::optional<Usage> Workloads::find(std::uint64_t workload) const {
  if (workload == 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto found = profiles_.find(workload);
  if (found == profiles_.end()) return std::nullopt;
  return found->second.usage;
}

Usage Workloads::expect(std::uint64_t workload, const wire::Resources& requests) const {
  return find(workload).value_or(usage_of(requests));
}

std::size_t Workloads::size() const {
  const std::lock_guard lock(mutex_);
  return profiles_.size();
}

}  // namespace optipod::extender
