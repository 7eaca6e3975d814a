// SPDX-License-Identifier: Apache-2.0
#include <bpf/libbpf.h>
#include <memory.skel.h>

#include <cstring>
#include <memory>
#include <vector>

#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"
#include "agent/profiler/kernel/slot_words.hpp"

namespace optipod::agent::kernel {

static_assert(std::size_t{bpf::kReclaimKindCount} == shm::kReclaimKinds);

namespace {

/// `news` is a vector of OomKill. Libbpf calls this for each record of the ring.
int keep_news(void* news, void* record, std::size_t size) {
  bpf::OomKill kill;
  if (size < sizeof kill) return 0;
  std::memcpy(&kill, record, sizeof kill);
  static_cast<std::vector<OomKill>*>(news)->push_back(
      {kill.slot, kill.pid, {kill.command, ::strnlen(kill.command, sizeof kill.command)}});
  return 0;
}

}  // namespace

struct MemoryPrograms::State {
  Object<memory_bpf, memory_bpf__destroy> object;
  std::vector<OomKill> news;  ///< filled while `kills` is read
  std::unique_ptr<ring_buffer, decltype(&ring_buffer__free)> kills{nullptr, ring_buffer__free};
  SlotWords<bpf::MemorySlot> slots;
};

tl::expected<MemoryPrograms, std::string> MemoryPrograms::load(const Plan& plan,
                                                               const Layout& layout) {
  auto state = std::make_unique<State>();
  state->object.reset(memory_bpf__open());
  memory_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening memory.bpf.o"));
  set_layout(*object->rodata, layout);
  for (bpf_program* program : {object->progs.direct_begin, object->progs.direct_end,
                               object->progs.memcg_begin, object->progs.memcg_end})
    bpf_program__set_autoload(program, plan.reclaim);
  bpf_program__set_autoload(object->progs.oom_victim, plan.oom_kills);
  bpf_map__set_autocreate(object->maps.kills, plan.oom_kills);
  bpf_map__set_max_entries(object->maps.memory_slots, layout.slots);
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  if (bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing memory.bpf.o"));
  if (memory_bpf__load(object) != 0) return tl::unexpected(error("loading memory.bpf.o"));
  auto slots =
      SlotWords<bpf::MemorySlot>::open(bpf_map__fd(object->maps.memory_slots), layout.slots);
  if (!slots) return tl::unexpected(slots.error());
  state->slots = std::move(*slots);
  if (plan.oom_kills) {
    state->kills.reset(
        ring_buffer__new(bpf_map__fd(object->maps.kills), keep_news, &state->news, nullptr));
    if (!state->kills) return tl::unexpected(error("mapping the news of OOM kills"));
  }
  if (memory_bpf__attach(object) != 0) return tl::unexpected(error("attaching memory.bpf.o"));
  return MemoryPrograms(std::move(state));
}

MemoryPrograms::MemoryPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
MemoryPrograms::MemoryPrograms(MemoryPrograms&&) noexcept = default;
MemoryPrograms& MemoryPrograms::operator=(MemoryPrograms&&) noexcept = default;
MemoryPrograms::~MemoryPrograms() = default;

void MemoryPrograms::add(Slot slot, shm::MemoryStats& sum) const {
  const bpf::MemorySlot counted = state_->slots.read(slot);
  for (std::size_t i = 0; i < shm::kReclaimKinds; ++i)
    add_histogram(counted.reclaim_stall[i], sum.reclaim_stall[i]);
  sum.oom_kills += counted.oom_kills;
}

void MemoryPrograms::take_kills(std::vector<OomKill>& out) {
  out.clear();
  if (!state_->kills) return;
  ring_buffer__consume(state_->kills.get());
  out.swap(state_->news);
}

std::uint64_t MemoryPrograms::dropped() const {
  return load_word(state_->object->bss->stalls_dropped);
}

void MemoryPrograms::reset(Slot slot) {
  state_->slots.reset(slot);
}

std::vector<LoadedProgram> MemoryPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
