// SPDX-License-Identifier: Apache-2.0
#include <irq.skel.h>

#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"

namespace optipod::agent::kernel {

static_assert(bpf::kSoftirqs == shm::kSoftirqVectors);

struct IrqPrograms::State {
  Object<irq_bpf, irq_bpf__destroy> object;
  Mapping<bpf::IrqCpu> cpus;
  Mapping<bpf::IrqStolen> stolen;
  std::uint32_t slots = 2;
};

tl::expected<IrqPrograms, std::string> IrqPrograms::load(const Plan& plan, const Layout& layout) {
  auto state = std::make_unique<State>();
  state->object.reset(irq_bpf__open());
  irq_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening irq.bpf.o"));
  set_layout(*object->rodata, layout);
  object->rodata->cpu_count = layout.possible_cpus;
  const bool typed = plan.interrupts == Plan::Hook::kTpBtf;
  for (bpf_program* program : {object->progs.softirq_entry_btf, object->progs.softirq_exit_btf})
    bpf_program__set_autoload(program, typed && plan.softirqs);
  for (bpf_program* program : {object->progs.softirq_entry_raw, object->progs.softirq_exit_raw})
    bpf_program__set_autoload(program, !typed && plan.softirqs);
  for (bpf_program* program : {object->progs.hardirq_entry_btf, object->progs.hardirq_exit_btf})
    bpf_program__set_autoload(program, typed && plan.hardirqs);
  for (bpf_program* program : {object->progs.hardirq_entry_raw, object->progs.hardirq_exit_raw})
    bpf_program__set_autoload(program, !typed && plan.hardirqs);
  const std::uint32_t stolen_count = layout.slots * layout.possible_cpus;
  bpf_map__set_max_entries(object->maps.irq_cpus, layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.irq_stolen, stolen_count);
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  if (bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing irq.bpf.o"));
  if (irq_bpf__load(object) != 0) return tl::unexpected(error("loading irq.bpf.o"));
  auto cpus =
      Mapping<bpf::IrqCpu>::open(bpf_map__fd(object->maps.irq_cpus), layout.possible_cpus, false);
  if (!cpus) return tl::unexpected(cpus.error());
  auto stolen =
      Mapping<bpf::IrqStolen>::open(bpf_map__fd(object->maps.irq_stolen), stolen_count, true);
  if (!stolen) return tl::unexpected(stolen.error());
  state->cpus = std::move(*cpus);
  state->stolen = std::move(*stolen);
  state->slots = layout.slots;
  if (irq_bpf__attach(object) != 0) return tl::unexpected(error("attaching irq.bpf.o"));
  return IrqPrograms(std::move(state));
}

IrqPrograms::IrqPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
IrqPrograms::IrqPrograms(IrqPrograms&&) noexcept = default;
IrqPrograms& IrqPrograms::operator=(IrqPrograms&&) noexcept = default;
IrqPrograms::~IrqPrograms() = default;

InterruptValues IrqPrograms::sum(std::span<const unsigned> cpus) const {
  InterruptValues values;
  for (const unsigned cpu : cpus) {
    const bpf::IrqCpu& one = state_->cpus.values()[cpu];
    for (std::size_t i = 0; i < shm::kSoftirqVectors; ++i)
      values.softirq_ns[i] += load_word(one.softirq_ns[i]);
    values.hardirq_ns += load_word(one.hardirq_ns);
  }
  return values;
}

std::uint64_t IrqPrograms::stolen_ns(Slot slot, std::span<const unsigned> cpus) const {
  std::uint64_t sum = 0;
  for (const unsigned cpu : cpus) {
    const bpf::IrqStolen& one = state_->stolen.values()[std::size_t{cpu} * state_->slots + slot];
    sum += load_word(one.softirq_ns) + load_word(one.hardirq_ns);
  }
  return sum;
}

void IrqPrograms::reset(Slot slot) {
  const auto all = state_->stolen.values();
  for (std::size_t at = slot; at < all.size(); at += state_->slots) all[at] = {};
}

std::vector<LoadedProgram> IrqPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
