// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/entry_sampler.hpp"

#include "agent/profiler/parse_stat.hpp"

namespace optipod::agent {
namespace {

/// A pod's CPU limit rarely changes: looked at once in that many ticks.
constexpr std::uint64_t kQuotaEvery = 10;

}  // namespace

void CpuTimeSince::start_at_zero() {
  usage.start_at_zero();
  user.start_at_zero();
  system.start_at_zero();
}

shm::CpuTime CpuTimeSince::operator()(const shm::CpuTime& now) {
  return {usage(now.usage_ns), user(now.user_ns), system(now.system_ns)};
}

void PressureSince::start_at_zero() {
  for (std::size_t i = 0; i < shm::kResources; ++i) {
    waiting[i].start_at_zero();
    stalled[i].start_at_zero();
  }
}

std::string_view EntrySampler::LazyFile::read(const std::string& directory, const char* name) {
  if (!tried) file = KeptFile(directory + "/" + name);
  tried = true;
  return file.read();
}

EntrySampler::EntrySampler(std::string directory, bool fresh)
    : directory_(std::move(directory)), memory_detail_(directory_, fresh) {
  if (!fresh) return;
  cpu_time_.start_at_zero();
  pressure_.start_at_zero();
  throttled_.start_at_zero();
  periods_.start_at_zero();
  throttled_periods_.start_at_zero();
}

void EntrySampler::sample(const CgroupValues* values, std::uint64_t tick,
                          shm::ContainerRecord& record) {
  if (values != nullptr && (values->valid & shm::kValidCpuTime) != 0) {
    record.cpu_time = cpu_time_(values->cpu_time);
    record.valid |= shm::kValidCpuTime;
  } else if (const auto file = parse_cpu_stat(cpu_stat_.read(directory_, "cpu.stat")); file.time) {
    record.cpu_time = cpu_time_(*file.time);
    record.valid |= shm::kValidCpuTime;
  }
  for (std::size_t i = 0; i < shm::kResources; ++i) {
    if (values != nullptr && (values->valid & kPressureValid[i]) != 0) {
      record.pressure.waiting_ns[i] = pressure_.waiting[i](values->pressure.waiting_ns[i]);
      record.pressure.stalled_ns[i] = pressure_.stalled[i](values->pressure.stalled_ns[i]);
      record.valid |= kPressureValid[i];
    } else if (const auto file =
                   parse_pressure(pressure_files_[i].read(directory_, kPressureFiles[i]));
               file && file->waiting_ns) {
      record.pressure.waiting_ns[i] = pressure_.waiting[i](*file->waiting_ns);
      record.pressure.stalled_ns[i] = pressure_.stalled[i](file->stalled_ns);
      record.valid |= kPressureValid[i];
    }
  }
  if (const auto memory = parse_number_file(memory_.read(directory_, "memory.current"))) {
    record.memory_current_bytes = *memory;
    record.valid |= shm::kValidMemory;
    memory_detail_.sample(tick, record);
  }
  if (values != nullptr && (values->valid & shm::kValidThrottling) != 0) {
    set_throttling(values->throttling, record);
    record.valid |= shm::kValidThrottling;
  } else {
    read_throttling(tick, record);
  }
}

void EntrySampler::set_throttling(const CpuThrottling& now, shm::ContainerRecord& record) {
  record.cpu_throttled_ns = throttled_(now.throttled_ns);
  record.cpu_periods = periods_(now.periods);
  record.cpu_throttled_periods = throttled_periods_(now.throttled_periods);
}

void EntrySampler::read_throttling(std::uint64_t tick, shm::ContainerRecord& record) {
  if (!knows_quota_ || tick % kQuotaEvery == record.cgroup_id % kQuotaEvery) {
    const std::string_view quota = cpu_max_.read(directory_, "cpu.max");
    has_quota_ = !quota.empty() && !quota.starts_with("max");
    knows_quota_ = true;
  }
  if (!cpu_max_.file.is_open()) return;
  // Without a quota nothing is throttled, so what was read once stays true.
  if (has_quota_ || !had_throttling_) {
    const auto file = parse_cpu_stat(cpu_stat_.read(directory_, "cpu.stat"));
    if (!file.throttling) return;
    set_throttling(*file.throttling, record);
    had_throttling_ = true;
  }
  record.valid |= shm::kValidThrottling;
}

}  // namespace optipod::agent
