// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/memory_sampler.hpp"

#include <algorithm>
#include <utility>

#include "agent/profiler/parse_stat.hpp"
#include "agent/profiler/read_file.hpp"

namespace optipod::agent {
namespace {

constexpr std::uint64_t kEvery = 10;

}  // namespace

MemorySampler::MemorySampler(std::string directory, bool fresh) : directory_(std::move(directory)) {
  if (!fresh) return;
  for (Since* counter : {&refaults_anon_, &refaults_file_, &minor_, &major_, &oom_kills_})
    counter->start_at_zero();
}

void MemorySampler::sample(std::uint64_t tick, shm::ContainerRecord& record) {
  if (!read_before_ || tick % kEvery == record.cgroup_id % kEvery) read(record);
  read_before_ = true;
  record.valid |= valid_;
}

void MemorySampler::read(shm::ContainerRecord& record) {
  valid_ = 0;
  const auto stat = parse_memory_stat(read_file(directory_ + "/memory.stat"));
  const auto current = parse_number_file(read_file(directory_ + "/memory.current"));
  if (stat && current) {
    record.memory_use.anon_bytes = stat->anon_bytes;
    record.memory_use.file_bytes = stat->file_bytes;
    record.memory_use.working_set_bytes = working_set(*current, stat->inactive_file_bytes);
    valid_ |= shm::kValidMemoryDetail;
  }
  if (stat && stat->refaults) {
    record.memory_use.refaults_anon = refaults_anon_(stat->refaults->anon);
    record.memory_use.refaults_file = refaults_file_(stat->refaults->file);
    valid_ |= shm::kValidRefaults;
  }
  if (stat && stat->faults && (record.valid & shm::kValidPageFaults) == 0) {
    record.memory.page_faults[shm::kMinor] = minor_(stat->faults->minor);
    record.memory.page_faults[shm::kMajor] = major_(stat->faults->major);
    valid_ |= shm::kValidPageFaults;
  }
  if (const auto limit = parse_number_file(read_file(directory_ + "/memory.max"))) {
    record.memory_use.limit_bytes = *limit;
    valid_ |= shm::kValidMemoryLimit;
  }
  if ((record.valid & shm::kValidOomKills) != 0) return;
  if (const auto kills = parse_oom_kills(read_file(directory_ + "/memory.events"))) {
    record.memory.oom_kills = oom_kills_(*kills);
    valid_ |= shm::kValidOomKills;
  }
}

}  // namespace optipod::agent
