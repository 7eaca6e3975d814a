// SPDX-License-Identifier: Apache-2.0
#include <alloc.skel.h>
#include <unistd.h>

#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"
#include "agent/profiler/kernel/slot_words.hpp"

namespace optipod::agent::kernel {

struct AllocationPrograms::State {
  Object<alloc_bpf, alloc_bpf__destroy> object;
  SlotWords<bpf::AllocationSlot> slots;
  std::uint64_t page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
};

tl::expected<AllocationPrograms, std::string> AllocationPrograms::load(const Layout& layout) {
  auto state = std::make_unique<State>();
  state->object.reset(alloc_bpf__open());
  alloc_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening alloc.bpf.o"));
  set_layout(*object->rodata, layout);
  object->rodata->cpu_count = layout.possible_cpus;
  bpf_map__set_max_entries(object->maps.allocation_cpus, layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.allocation_slots, layout.slots);
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  if (bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing alloc.bpf.o"));
  if (alloc_bpf__load(object) != 0) return tl::unexpected(error("loading alloc.bpf.o"));
  auto slots = SlotWords<bpf::AllocationSlot>::open(bpf_map__fd(object->maps.allocation_slots),
                                                    layout.slots);
  if (!slots) return tl::unexpected(slots.error());
  state->slots = std::move(*slots);
  if (alloc_bpf__attach(object) != 0) return tl::unexpected(error("attaching alloc.bpf.o"));
  return AllocationPrograms(std::move(state));
}

AllocationPrograms::AllocationPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
AllocationPrograms::AllocationPrograms(AllocationPrograms&&) noexcept = default;
AllocationPrograms& AllocationPrograms::operator=(AllocationPrograms&&) noexcept = default;
AllocationPrograms::~AllocationPrograms() = default;

std::uint64_t AllocationPrograms::bytes(Slot slot) const {
  return state_->slots.read(slot).pages * state_->page_bytes;
}

void AllocationPrograms::reset(Slot slot) {
  state_->slots.reset(slot);
}

std::vector<LoadedProgram> AllocationPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
