// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <tcp.skel.h>

#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"
#include "agent/profiler/kernel/slot_words.hpp"
#include "agent/profiler/kernel/walk.hpp"

namespace optipod::agent::kernel {

struct TcpPrograms::State {
  Object<tcp_bpf, tcp_bpf__destroy> object;
  SlotWords<bpf::TcpSlot> slots;
};

tl::expected<TcpPrograms, std::string> TcpPrograms::load(const Plan& plan, const Layout& layout) {
  auto state = std::make_unique<State>();
  state->object.reset(tcp_bpf__open());
  tcp_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening tcp.bpf.o"));
  set_layout(*object->rodata, layout);
  bpf_program__set_autoload(object->progs.state_changed, plan.tcp);
  bpf_program__set_autoload(object->progs.walk_connections, plan.tcp);
  bpf_program__set_autoattach(object->progs.walk_connections, false);
  bpf_program__set_autoload(object->progs.retransmitted, plan.tcp_retransmits);
  bpf_map__set_autocreate(object->maps.connections, plan.tcp);
  bpf_map__set_max_entries(object->maps.tcp_slots, layout.slots);
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  if (bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing tcp.bpf.o"));
  if (tcp_bpf__load(object) != 0) return tl::unexpected(error("loading tcp.bpf.o"));
  auto slots = SlotWords<bpf::TcpSlot>::open(bpf_map__fd(object->maps.tcp_slots), layout.slots);
  if (!slots) return tl::unexpected(slots.error());
  state->slots = std::move(*slots);
  if (plan.tcp) {
    bpf_iter_link_info where{};
    where.map.map_fd = static_cast<__u32>(bpf_map__fd(object->maps.connections));
    bpf_iter_attach_opts options{};
    options.sz = sizeof options;
    options.link_info = &where;
    options.link_info_len = sizeof where;
    object->links.walk_connections =
        bpf_program__attach_iter(object->progs.walk_connections, &options);
    if (object->links.walk_connections == nullptr)
      return tl::unexpected(error("attaching the walk over connections"));
  }
  if (tcp_bpf__attach(object) != 0) return tl::unexpected(error("attaching tcp.bpf.o"));
  return TcpPrograms(std::move(state));
}

TcpPrograms::TcpPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
TcpPrograms::TcpPrograms(TcpPrograms&&) noexcept = default;
TcpPrograms& TcpPrograms::operator=(TcpPrograms&&) noexcept = default;
TcpPrograms::~TcpPrograms() = default;

bool TcpPrograms::walk() {
  return run_walk(state_->object->links.walk_connections);
}

void TcpPrograms::add(Slot slot, shm::TcpStats& sum) const {
  const bpf::TcpSlot counted = state_->slots.read(slot);
  add_histogram(counted.rtt, sum.rtt);
  for (std::size_t i = 0; i < shm::kDirections; ++i) sum.bytes[i] += counted.bytes[i];
  sum.retransmitted_segments += counted.retransmitted;
}

std::uint64_t TcpPrograms::dropped() const {
  return load_word(state_->object->bss->connections_dropped);
}

void TcpPrograms::reset(Slot slot) {
  state_->slots.reset(slot);
}

std::vector<LoadedProgram> TcpPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
