// SPDX-License-Identifier: Apache-2.0
#include <cpu.skel.h>

#include <cstring>

#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"

namespace optipod::agent::kernel {

static_assert(sizeof(bpf::CpuSlot) == sizeof(shm::CpuStats) + sizeof(std::uint64_t));
static_assert(offsetof(bpf::CpuSlot, runqueue_wait) == offsetof(shm::CpuStats, runqueue_wait));
static_assert(offsetof(bpf::CpuSlot, preemptions) == offsetof(shm::CpuStats, preemptions));
static_assert(offsetof(bpf::CpuSlot, switches) == offsetof(shm::CpuStats, switches));
static_assert(offsetof(bpf::CpuSlot, discarded) == offsetof(shm::CpuStats, discarded));

struct CpuPrograms::State {
  Object<cpu_bpf, cpu_bpf__destroy> object;
  Mapping<bpf::CpuSlot> slots;
  std::uint32_t cpus = 1;
};

tl::expected<CpuPrograms, std::string> CpuPrograms::load(const Plan& plan, const Layout& layout,
                                                         int storage_fd) {
  auto state = std::make_unique<State>();
  state->object.reset(cpu_bpf__open());
  cpu_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening cpu.bpf.o"));
  auto& config = *object->rodata;
  set_layout(config, layout);
  config.cpu_count = layout.possible_cpus;
  config.use_storage = plan.storage;
  config.measure_wait = plan.wait;
  config.state_argument = plan.switch_state;
  const bool typed = plan.sched_switch == Plan::Hook::kTpBtf;
  bpf_program__set_autoload(object->progs.switch_btf, typed);
  bpf_program__set_autoload(object->progs.switch_raw, !typed);
  bpf_map__set_max_entries(object->maps.cpu_slots, layout.slots * layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.run_clocks, layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  const int reused = plan.storage ? bpf_map__reuse_fd(object->maps.slots, storage_fd)
                                  : bpf_map__set_autocreate(object->maps.slots, false);
  if (reused != 0 || bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing cpu.bpf.o"));
  if (cpu_bpf__load(object) != 0) return tl::unexpected(error("loading cpu.bpf.o"));
  auto slots = Mapping<bpf::CpuSlot>::open(bpf_map__fd(object->maps.cpu_slots),
                                           std::size_t{layout.slots} * layout.possible_cpus, true);
  if (!slots) return tl::unexpected(slots.error());
  state->slots = std::move(*slots);
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

void CpuPrograms::reset(Slot slot) {
  const auto lines = state_->slots.values().subspan(std::size_t{slot} * state_->cpus, state_->cpus);
  for (bpf::CpuSlot& one : lines) one = {};
}

std::vector<LoadedProgram> CpuPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
