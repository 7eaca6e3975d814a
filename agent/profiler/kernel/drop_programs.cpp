// SPDX-License-Identifier: Apache-2.0
#include <drop.skel.h>

#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"

namespace optipod::agent::kernel {

struct DropPrograms::State {
  Object<drop_bpf, drop_bpf__destroy> object;
  Mapping<bpf::DropCpu> cpus;
};

tl::expected<DropPrograms, std::string> DropPrograms::load(const Layout& layout) {
  auto state = std::make_unique<State>();
  state->object.reset(drop_bpf__open());
  drop_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening drop.bpf.o"));
  object->rodata->cpu_count = layout.possible_cpus;
  bpf_map__set_max_entries(object->maps.drop_cpus, layout.possible_cpus);
  if (drop_bpf__load(object) != 0) return tl::unexpected(error("loading drop.bpf.o"));
  auto cpus =
      Mapping<bpf::DropCpu>::open(bpf_map__fd(object->maps.drop_cpus), layout.possible_cpus, false);
  if (!cpus) return tl::unexpected(cpus.error());
  state->cpus = std::move(*cpus);
  if (drop_bpf__attach(object) != 0) return tl::unexpected(error("attaching drop.bpf.o"));
  return DropPrograms(std::move(state));
}

DropPrograms::DropPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
DropPrograms::DropPrograms(DropPrograms&&) noexcept = default;
DropPrograms& DropPrograms::operator=(DropPrograms&&) noexcept = default;
DropPrograms::~DropPrograms() = default;

std::uint64_t DropPrograms::packets(std::size_t reason) const {
  std::uint64_t sum = 0;
  for (const bpf::DropCpu& cpu : state_->cpus.values()) sum += load_word(cpu.packets[reason]);
  return sum;
}

std::vector<LoadedProgram> DropPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
