// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <cpu.skel.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstring>

#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"

namespace optipod::agent::kernel {

static_assert(sizeof(bpf::CpuSlot::padding) + sizeof(bpf::CpuSlot::far_migrations) +
                  sizeof(shm::CpuStats) + sizeof(shm::SchedulerStats) ==
              sizeof(bpf::CpuSlot));
static_assert(std::size(bpf::CpuSlot{}.far_migrations) == shm::kFarMigrations);
static_assert(offsetof(bpf::CpuSlot, runqueue_wait) == offsetof(shm::CpuStats, runqueue_wait));
static_assert(offsetof(bpf::CpuSlot, preemptions) == offsetof(shm::CpuStats, preemptions));
static_assert(offsetof(bpf::CpuSlot, switches) == offsetof(shm::CpuStats, switches));
static_assert(offsetof(bpf::CpuSlot, discarded) == offsetof(shm::CpuStats, discarded));

struct CpuPrograms::State {
  Object<cpu_bpf, cpu_bpf__destroy> object;
  Mapping<bpf::CpuSlot> slots;
  Mapping<bpf::CpuState> states;
  Mapping<bpf::Pair> pairs;
  std::uint32_t cpus = 1;
};

tl::expected<CpuPrograms, std::string> CpuPrograms::load(const Plan& plan, const Layout& layout,
                                                         int storage_fd,
                                                         std::span<const std::uint32_t> places) {
  auto state = std::make_unique<State>();
  state->object.reset(cpu_bpf__open());
  cpu_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening cpu.bpf.o"));
  auto& config = *object->rodata;
  set_layout(config, layout);
  config.cpu_count = layout.possible_cpus;
  config.use_storage = plan.storage;
  config.measure_wait = plan.wait;
  config.split_throttled = plan.throttled_wait;
  config.state_argument = plan.switch_state;
  config.tell_far = plan.far_migrations;
  const bool typed = plan.sched_switch == Plan::Hook::kTpBtf;
  const bool full = typed && plan.switch_state && plan.wait && plan.throttled_wait;
  bpf_program__set_autoload(object->progs.switch_full, full);
  bpf_program__set_autoload(object->progs.switch_btf, typed && !full);
  bpf_program__set_autoload(object->progs.switch_raw, !typed);
  bpf_program__set_autoload(object->progs.migrate_btf, typed && plan.migrations);
  bpf_program__set_autoload(object->progs.migrate_raw, !typed && plan.migrations);
  bpf_map__set_max_entries(object->maps.cpu_slots, layout.slots * layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.cpu_states, layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.cpu_places, layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.throttle_marks, bpf::kThrottleMarks * layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.pairs, 2 * bpf::kPairs * layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  const int reused = plan.storage ? bpf_map__reuse_fd(object->maps.slots, storage_fd)
                                  : bpf_map__set_autocreate(object->maps.slots, false);
  if (reused != 0 || bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing cpu.bpf.o"));
  if (cpu_bpf__load(object) != 0) return tl::unexpected(error("loading cpu.bpf.o"));
  for (std::uint32_t cpu = 0; cpu < places.size(); ++cpu)
    if (bpf_map_update_elem(bpf_map__fd(object->maps.cpu_places), &cpu, &places[cpu], BPF_ANY) != 0)
      return tl::unexpected(error("telling cpu.bpf.o the places of CPUs"));
  auto slots = Mapping<bpf::CpuSlot>::open(bpf_map__fd(object->maps.cpu_slots),
                                           std::size_t{layout.slots} * layout.possible_cpus, true);
  if (!slots) return tl::unexpected(slots.error());
  auto states = Mapping<bpf::CpuState>::open(bpf_map__fd(object->maps.cpu_states),
                                             layout.possible_cpus, false);
  if (!states) return tl::unexpected(states.error());
  auto pairs = Mapping<bpf::Pair>::open(bpf_map__fd(object->maps.pairs),
                                        std::size_t{2} * bpf::kPairs * layout.possible_cpus, true);
  if (!pairs) return tl::unexpected(pairs.error());
  state->slots = std::move(*slots);
  state->states = std::move(*states);
  state->pairs = std::move(*pairs);
  state->cpus = layout.possible_cpus;
  if (cpu_bpf__attach(object) != 0) return tl::unexpected(error("attaching cpu.bpf.o"));
  return CpuPrograms(std::move(state));
}

CpuPrograms::CpuPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
CpuPrograms::CpuPrograms(CpuPrograms&&) noexcept = default;
CpuPrograms& CpuPrograms::operator=(CpuPrograms&&) noexcept = default;
CpuPrograms::~CpuPrograms() = default;

void CpuPrograms::add(Slot slot, std::span<const unsigned> cpus, shm::CpuStats& sum) const {
  const auto lines = state_->slots.values().subspan(std::size_t{slot} * state_->cpus, state_->cpus);
  for (const unsigned cpu : cpus) {
    const bpf::CpuSlot& one = lines[cpu];
    for (std::size_t i = 0; i < shm::kHistogramBuckets; ++i)
      sum.runqueue_wait.bucket[i] += load_word(one.runqueue_wait.bucket[i]);
    sum.runqueue_wait.sum_ns += load_word(one.runqueue_wait.sum_ns);
    for (std::size_t i = 0; i < shm::kPreemptedByCount; ++i)
      sum.preemptions[i] += load_word(one.preemptions[i]);
    for (std::size_t i = 0; i < shm::kSwitchKinds; ++i)
      sum.switches[i] += load_word(one.switches[i]);
    sum.discarded += load_word(one.discarded);
  }
}

void CpuPrograms::add(Slot slot, std::span<const unsigned> cpus, shm::SchedulerStats& sum) const {
  const auto lines = state_->slots.values().subspan(std::size_t{slot} * state_->cpus, state_->cpus);
  for (const unsigned cpu : cpus) {
    const bpf::CpuSlot& one = lines[cpu];
    sum.throttled_wait_ns += load_word(one.throttled_wait_ns);
    sum.throttled_waits += load_word(one.throttled_waits);
    sum.throttled_switches += load_word(one.throttled_switches);
    sum.migrations += load_word(one.migrations);
  }
}

void CpuPrograms::add(Slot slot, std::span<const unsigned> cpus,
                      std::uint64_t (&far_migrations)[shm::kFarMigrations]) const {
  const auto lines = state_->slots.values().subspan(std::size_t{slot} * state_->cpus, state_->cpus);
  for (const unsigned cpu : cpus)
    for (std::size_t i = 0; i < shm::kFarMigrations; ++i)
      far_migrations[i] += load_word(lines[cpu].far_migrations[i]);
}

void CpuPrograms::take_pairs(std::span<const unsigned> cpus, std::vector<PairCount>& out) {
  out.clear();
  auto& generation = state_->object->bss->pair_generation;
  const std::uint64_t now = load_word(generation);
  const std::size_t set = std::size_t{bpf::kPairs} * state_->cpus;
  // Since the last call nothing was added to this set.
  const auto rested = state_->pairs.values().subspan(((now + 1) & 1) * set, set);
  for (std::size_t cpu = 0; cpu < state_->cpus; ++cpu) {
    const bool counts = std::binary_search(cpus.begin(), cpus.end(), cpu);
    for (bpf::Pair& pair : rested.subspan(cpu * bpf::kPairs, bpf::kPairs)) {
      if (pair.victim == 0) continue;
      if (counts) out.push_back({pair.victim, pair.aggressor, pair.preemptions, pair.taken_ns});
      pair = {};
    }
  }
  // Release: a program that sees the new generation finds the set empty.
  __atomic_store_n(&generation, now + 1, __ATOMIC_RELEASE);
}

std::uint64_t CpuPrograms::pairs_untold(std::span<const unsigned> cpus) const {
  std::uint64_t sum = 0;
  for (const unsigned cpu : cpus) sum += load_word(state_->states.values()[cpu].pairs_untold);
  return sum;
}

void CpuPrograms::reset(Slot slot) {
  const auto lines = state_->slots.values().subspan(std::size_t{slot} * state_->cpus, state_->cpus);
  for (bpf::CpuSlot& one : lines) one = {};
}

std::vector<LoadedProgram> CpuPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
