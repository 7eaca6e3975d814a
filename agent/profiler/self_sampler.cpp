// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/self_sampler.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "agent/profiler/text_field.hpp"
#include "config.h"

namespace optipod::agent {
namespace {

std::uint64_t nanoseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(time.tv_usec) * 1000u;
}

/// The second number of /proc/self/statm, in bytes.
std::uint64_t resident(std::string_view statm) {
  statm.remove_prefix(std::min(statm.find(' ') + 1, statm.size()));
  std::uint64_t pages = 0;
  std::from_chars(statm.data(), statm.data() + statm.size(), pages);
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

shm::AgentRecord::Feature make_feature(std::string_view name, std::string_view source,
                                       bool enabled) {
  shm::AgentRecord::Feature feature{};
  set_text(feature.name, name);
  set_text(feature.source, source);
  feature.enabled = enabled ? 1 : 0;
  return feature;
}

SelfSampler::SelfSampler(const KernelSource& kernel,
                         std::vector<shm::AgentRecord::Feature> more_features)
    : kernel_(kernel), features_(kernel.features()), statm_("/proc/self/statm") {
  features_.insert(features_.end(), more_features.begin(), more_features.end());
}

void SelfSampler::sample(shm::Tick& tick) const {
  shm::AgentRecord& agent = tick.agent;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  agent.cpu_user_ns = nanoseconds(usage.ru_utime);
  agent.cpu_system_ns = nanoseconds(usage.ru_stime);
  agent.resident_bytes = resident(statm_.read());
  sample_programs(tick);
  agent.feature_count = std::min(features_.size(), shm::AgentRecord::kMaxFeatures);
  std::copy_n(features_.begin(), agent.feature_count, agent.features);
  set_text(agent.version, OPTIPOD_VERSION);
}

void SelfSampler::sample_programs(shm::Tick& tick) const {
  const auto programs = kernel_.programs();
  shm::AgentRecord& agent = tick.agent;
  agent.program_count = std::min(programs.size(), shm::AgentRecord::kMaxPrograms);
  if (programs.empty()) return;
  bool known = true;
  for (std::size_t i = 0; i < agent.program_count; ++i) {
    agent.program(i) = programs[i];
    agent.missed_runs[i] = programs[i].missed_runs.value_or(0);
    known = known && programs[i].missed_runs.has_value();
  }
  if (known) tick.node.valid |= shm::kValidMissedRuns;
  const auto dropped = kernel_.dropped();
  std::copy(dropped.begin(), dropped.end(), agent.dropped);
  tick.node.valid |= shm::kValidDropped | (kernel_.valid() & shm::kValidDroppedRequests);
}

}  // namespace optipod::agent
