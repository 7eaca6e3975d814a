// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "agent/profiler/kernel/cputime.hpp"
#include "agent/profiler/kernel/impl.hpp"
#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"

namespace optipod::agent {
namespace {

template <std::size_t N>
void copy_text(char (&to)[N], const std::string& text) {
  const std::size_t length = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), length);
  std::memset(to + length, 0, N - length);
}

void add_histogram(const shm::Histogram& from, shm::Histogram& to) {
  for (std::size_t i = 0; i < shm::kHistogramBuckets; ++i) to.bucket[i] += from.bucket[i];
  to.sum_ns += from.sum_ns;
}

void add_cpu(const shm::CpuStats& from, shm::CpuStats& to) {
  add_histogram(from.runqueue_wait, to.runqueue_wait);
  for (std::size_t i = 0; i < shm::kPreemptedByCount; ++i) to.preemptions[i] += from.preemptions[i];
  for (std::size_t i = 0; i < shm::kSwitchKinds; ++i) to.switches[i] += from.switches[i];
  to.discarded += from.discarded;
}

void add_scheduler(const shm::SchedulerStats& from, shm::SchedulerStats& to) {
  to.throttled_wait_ns += from.throttled_wait_ns;
  to.throttled_waits += from.throttled_waits;
  to.throttled_switches += from.throttled_switches;
  to.migrations += from.migrations;
}

void add_block(const shm::BlockStats& from, shm::BlockStats& to) {
  for (std::size_t op = 0; op < shm::kOperations; ++op) {
    add_histogram(from.latency[op], to.latency[op]);
    to.bytes[op] += from.bytes[op];
    to.inflight[op] += from.inflight[op];
  }
}

void add_memory(const shm::MemoryStats& from, shm::MemoryStats& to) {
  for (std::size_t i = 0; i < shm::kReclaimKinds; ++i)
    add_histogram(from.reclaim_stall[i], to.reclaim_stall[i]);
  to.oom_kills += from.oom_kills;
  for (std::size_t i = 0; i < shm::kFaultKinds; ++i) to.page_faults[i] += from.page_faults[i];
}

void add_files(const shm::FileStats& from, shm::FileStats& to) {
  for (std::size_t op = 0; op < shm::kOperations; ++op) {
    to.calls[op] += from.calls[op];
    to.bytes[op] += from.bytes[op];
  }
}

void add_tcp(const shm::TcpStats& from, shm::TcpStats& to) {
  add_histogram(from.rtt, to.rtt);
  for (std::size_t i = 0; i < shm::kDirections; ++i) to.bytes[i] += from.bytes[i];
  to.retransmitted_segments += from.retransmitted_segments;
}

void add_hardware(const shm::HardwareCounters& from, shm::HardwareCounters& to) {
  to.cycles += from.cycles;
  to.instructions += from.instructions;
  to.cache_misses += from.cache_misses;
  to.counted_ns += from.counted_ns;
}

}  // namespace

void Kernel::Impl::add(Slot slot, SlotValues& sum) const {
  if (cpu) {
    cpu->add(slot, cpus, sum.cpu);
    cpu->add(slot, cpus, sum.scheduler);
    cpu->add(slot, cpus, sum.far_migrations);
  }
  if (counters) counters->add(slot, cpus, sum.hardware);
  if (allocations) sum.allocated_bytes += allocations->bytes(slot);
  if (irq) sum.irq_stolen_ns += irq->stolen_ns(slot, cpus);
  if (block) block->add(slot, sum.block);
  if (memory) memory->add(slot, sum.memory);
  if (tasks) tasks->add(slot, sum.files, sum.memory);
  if (tcp) tcp->add(slot, sum.tcp);
}

bool Kernel::Impl::check_walk(bool ran, const char* over) {
  if (!ran) failures.push_back(std::string("walk over ") + over + ": " + std::strerror(errno));
  return ran;
}

Kernel::Kernel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Kernel::Kernel(Kernel&&) noexcept = default;
Kernel& Kernel::operator=(Kernel&&) noexcept = default;
Kernel::~Kernel() = default;

tl::expected<Kernel, std::string> Kernel::open(const KernelOptions& options) {
  return kernel::open(options, kernel::probe(options));
}

std::uint64_t Kernel::valid() const {
  return impl_->valid;
}
const std::vector<shm::AgentRecord::Feature>& Kernel::features() const {
  return impl_->features;
}
const std::string& Kernel::diagnostics() const {
  return impl_->diagnostics;
}

std::vector<ProgramCounts> Kernel::programs() const {
  std::vector<ProgramCounts> result;
  for (const auto& [name, fd] : impl_->programs) {
    ProgramCounts program{};
    copy_text(program.name, name);
    bpf_prog_info info{};
    __u32 length = sizeof info;
    // Before Linux 5.19 this needs a capability; the counts stay 0 then.
    if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0) {
      program.runs = info.run_cnt;
      program.run_ns = info.run_time_ns;
      constexpr std::size_t kEnd =
          offsetof(bpf_prog_info, recursion_misses) + sizeof info.recursion_misses;
      if (length >= kEnd) program.missed_runs = info.recursion_misses;  // 5.12
    }
    result.push_back(program);
  }
  return result;
}

std::array<std::uint64_t, shm::kDropKinds> Kernel::dropped() const {
  std::array<std::uint64_t, shm::kDropKinds> result{};
  if (impl_->memory) result[shm::kDroppedStalls] = impl_->memory->dropped();
  if (impl_->cgroup) result[shm::kDroppedCgroups] = impl_->cgroup->dropped();
  if (impl_->tcp) result[shm::kDroppedConnections] = impl_->tcp->dropped();
  if (impl_->tasks) result[shm::kDroppedTasks] = impl_->tasks->dropped();
  if (impl_->block) result[shm::kDroppedRequests] = impl_->block->dropped();
  return result;
}

tl::expected<void, std::string> Kernel::assign(int cgroup_fd, std::uint64_t cgroup_id, Slot slot) {
  if (slot >= impl_->slots)
    return tl::unexpected("slot " + std::to_string(slot) + " is over the " +
                          std::to_string(impl_->slots) + " there are");
  if (!impl_->charges()) return {};  // nothing to charge
  // Everything below the root that the table does not hold is kNodeOther anyway.
  if (slot == kNodeOther) {
    impl_->table.erase(cgroup_id);
  } else if (!impl_->table.put(cgroup_id, slot)) {
    return tl::unexpected("no room in the slot table for cgroup " + std::to_string(cgroup_id));
  }
  impl_->used[slot] = true;
  if (impl_->storage_fd >= 0 &&
      bpf_map_update_elem(impl_->storage_fd, &cgroup_fd, &slot, BPF_ANY) != 0) {
    const int error = errno;
    impl_->table.erase(cgroup_id);
    // The kernel's answer for a cgroup that was removed after cgroup_fd was opened.
    if (error != ENOENT)
      return tl::unexpected("charging cgroup " + std::to_string(cgroup_id) + " to slot " +
                            std::to_string(slot) + ": " + std::strerror(error));
  }
  return {};
}

void Kernel::forget(std::uint64_t cgroup_id) {
  impl_->table.erase(cgroup_id);
}

void Kernel::reset_slot(Slot slot) {
  if (slot >= impl_->slots) return;
  // What the slot has counted stays part of the node's totals, which never go backwards.
  SlotValues last = slot_values(slot);
  for (std::uint64_t& n : last.block.inflight) n = 0;
  if (slot != kOutside || impl_->whole_machine) {
    add_cpu(last.cpu, impl_->retired.cpu);
    add_scheduler(last.scheduler, impl_->retired.scheduler);
    add_block(last.block, impl_->retired.block);
    add_memory(last.memory, impl_->retired.memory);
    add_files(last.files, impl_->retired.files);
    add_tcp(last.tcp, impl_->retired.tcp);
    add_hardware(last.hardware, impl_->retired.hardware);
    for (std::size_t i = 0; i < shm::kFarMigrations; ++i)
      impl_->retired.far_migrations[i] += last.far_migrations[i];
    impl_->retired.allocated_bytes += last.allocated_bytes;
  }
  if (impl_->cpu) impl_->cpu->reset(slot);
  if (impl_->block) impl_->block->reset(slot);
  if (impl_->memory) impl_->memory->reset(slot);
  if (impl_->tasks) impl_->tasks->reset(slot);
  if (impl_->tcp) impl_->tcp->reset(slot);
  if (impl_->irq) impl_->irq->reset(slot);
  if (impl_->counters) impl_->counters->reset(slot);
  if (impl_->allocations) impl_->allocations->reset(slot);
}

void Kernel::take_up() {
  if (impl_->tasks) impl_->check_walk(impl_->tasks->walk(), "tasks");
  if (impl_->tcp && impl_->plan.tcp) impl_->check_walk(impl_->tcp->walk(), "connections");
}

void Kernel::open_window(bool open) {
  if (impl_->counters) impl_->counters->open_window(open);
}

int Kernel::made_fd() const {
  return impl_->cgroup ? impl_->cgroup->made_fd() : -1;
}

void Kernel::take_made(std::vector<MadeCgroup>& out) {
  out.clear();
  if (impl_->cgroup) impl_->cgroup->take_made(out);
}

void Kernel::take_kills(std::vector<OomKill>& out) {
  out.clear();
  if (impl_->memory) impl_->memory->take_kills(out);
}

SlotValues Kernel::slot_values(Slot slot) const {
  SlotValues values;
  if (slot >= impl_->slots) return values;
  impl_->add(slot, values);
  return values;
}

SlotValues Kernel::node_values() const {
  SlotValues sum = impl_->retired;
  for (Slot slot = impl_->whole_machine ? kOutside : kNodeOther; slot < impl_->slots; ++slot) {
    if (slot >= kFirstSlot && !impl_->used[slot]) continue;
    impl_->add(slot, sum);
  }
  return sum;
}

shm::QueueLengths Kernel::queue_lengths() const {
  return impl_->queues ? impl_->queues->sum(impl_->cpus) : shm::QueueLengths{};
}

InterruptValues Kernel::interrupts() const {
  return impl_->irq ? impl_->irq->sum(impl_->cpus) : InterruptValues{};
}

void Kernel::take_pairs(std::vector<PairCount>& out) {
  out.clear();
  if (impl_->cpu) impl_->cpu->take_pairs(impl_->cpus, out);
}

std::uint64_t Kernel::pairs_untold() const {
  return impl_->cpu ? impl_->cpu->pairs_untold(impl_->cpus) : 0;
}

std::vector<Device> Kernel::devices() const {
  return impl_->block ? impl_->block->devices() : std::vector<Device>{};
}

std::vector<DropCount> Kernel::drops() const {
  std::vector<DropCount> result;
  if (!impl_->drops) return result;
  const auto& names = impl_->plan.drop_reasons;
  for (std::size_t reason = 0; reason < bpf::kDropReasonCount; ++reason) {
    const bool named = reason < names.size();
    if (named && names[reason].empty()) continue;
    if (const std::uint64_t packets = impl_->drops->packets(reason); packets != 0)
      result.push_back({named ? names[reason] : kOtherDropReason, packets});
  }
  return result;
}

std::vector<std::string> Kernel::take_failures() {
  return std::exchange(impl_->failures, {});
}

bool Kernel::read_cgroups(std::vector<CgroupValues>& out) {
  if (!impl_->plan.iterator || !impl_->cgroup) return false;
  if (!impl_->check_walk(impl_->cgroup->walk(), "cgroups")) return false;
  out.clear();
  for (const bpf::CgroupSample& sample : impl_->cgroup->samples()) {
    CgroupValues values;
    values.cgroup_id = sample.cgroup_id;
    if (impl_->plan.iterator_cpu_time && (sample.valid & bpf::kSampleCpuTime) != 0) {
      values.valid |= shm::kValidCpuTime;
      values.cpu_time =
          impl_->cpu_time.split(sample.cgroup_id, sample.exec_ns, sample.user_ns, sample.system_ns);
    }
    if (impl_->plan.iterator_pressure && (sample.valid & bpf::kSamplePressure) != 0) {
      values.valid |= shm::kValidPressureCpu | shm::kValidPressureMemory | shm::kValidPressureIo;
      for (std::size_t i = 0; i < shm::kResources; ++i) {
        values.pressure.waiting_ns[i] = sample.waiting_ns[i];
        values.pressure.stalled_ns[i] = sample.stalled_ns[i];
      }
    }
    if (impl_->plan.iterator_throttling && (sample.valid & bpf::kSampleThrottling) != 0) {
      values.valid |= shm::kValidThrottling;
      values.throttling = {sample.throttled_ns, sample.periods, sample.throttled_periods};
    }
    out.push_back(values);
  }
  impl_->cpu_time.end_walk();
  return true;
}

}  // namespace optipod::agent
