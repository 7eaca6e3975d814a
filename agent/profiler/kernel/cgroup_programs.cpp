// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cgroup.skel.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"

namespace optipod::agent::kernel {
namespace {

/// Room for that many cgroups: those with a slot and as many without, and never little.
std::uint32_t sample_count(std::uint32_t slots) {
  return std::max(4096u, 4 * slots);
}

}  // namespace

struct CgroupPrograms::State {
  Object<cgroup_bpf, cgroup_bpf__destroy> object;
  std::unique_ptr<ring_buffer, decltype(&ring_buffer__free)> made{nullptr, ring_buffer__free};
  Mapping<bpf::CgroupSample> samples;
  bool storage = false;
};

tl::expected<CgroupPrograms, std::string> CgroupPrograms::load(const Plan& plan,
                                                               const Layout& layout,
                                                               const std::string& root_path) {
  auto state = std::make_unique<State>();
  state->object.reset(cgroup_bpf__open());
  cgroup_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening cgroup.bpf.o"));
  set_layout(*object->rodata, layout);
  object->rodata->sample_count = sample_count(layout.slots);
  bpf_program__set_autoload(object->progs.walk_cgroups, plan.iterator);
  bpf_program__set_autoload(object->progs.cgroup_made, plan.storage);
  bpf_program__set_autoattach(object->progs.walk_cgroups, false);
  bpf_map__set_autocreate(object->maps.slots, plan.storage);
  bpf_map__set_autocreate(object->maps.made, plan.storage);
  bpf_map__set_max_entries(object->maps.samples, sample_count(layout.slots));
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  if (bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing cgroup.bpf.o"));
  if (cgroup_bpf__load(object) != 0) return tl::unexpected(error("loading cgroup.bpf.o"));
  auto samples = Mapping<bpf::CgroupSample>::open(bpf_map__fd(object->maps.samples),
                                                  sample_count(layout.slots), false);
  if (!samples) return tl::unexpected(samples.error());
  state->samples = std::move(*samples);
  state->storage = plan.storage;
  if (plan.storage) {
    const auto ignore = [](void*, void*, std::size_t) { return 0; };
    state->made.reset(ring_buffer__new(bpf_map__fd(object->maps.made), ignore, nullptr, nullptr));
    if (!state->made) return tl::unexpected(error("mapping the ids of new cgroups"));
  }
  if (plan.iterator) {
    const int root = ::open(root_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return tl::unexpected(error(root_path.c_str()));
    bpf_iter_link_info where{};
    where.cgroup.order = BPF_CGROUP_ITER_DESCENDANTS_PRE;
    where.cgroup.cgroup_fd = static_cast<__u32>(root);
    bpf_iter_attach_opts options{};
    options.sz = sizeof options;
    options.link_info = &where;
    options.link_info_len = sizeof where;
    object->links.walk_cgroups = bpf_program__attach_iter(object->progs.walk_cgroups, &options);
    const int attach_error = errno;
    ::close(root);
    errno = attach_error;
    if (object->links.walk_cgroups == nullptr)
      return tl::unexpected(error("attaching the cgroup iterator"));
  }
  if (cgroup_bpf__attach(object) != 0) return tl::unexpected(error("attaching cgroup.bpf.o"));
  return CgroupPrograms(std::move(state));
}

CgroupPrograms::CgroupPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
CgroupPrograms::CgroupPrograms(CgroupPrograms&&) noexcept = default;
CgroupPrograms& CgroupPrograms::operator=(CgroupPrograms&&) noexcept = default;
CgroupPrograms::~CgroupPrograms() = default;

bool CgroupPrograms::walk() {
  const bpf_link* link = state_->object->links.walk_cgroups;
  if (link == nullptr) return false;
  const int walker = bpf_iter_create(bpf_link__fd(link));
  if (walker < 0) return false;
  // The program writes to the array, not to the file: the first read walks the whole tree.
  char nothing[16];
  ssize_t got = 0;
  for (int tries = 0; tries < 1000; ++tries) {
    got = ::read(walker, nothing, sizeof nothing);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) continue;
    break;
  }
  ::close(walker);
  return got == 0;
}

std::span<const bpf::CgroupSample> CgroupPrograms::samples() const {
  const auto all = state_->samples.values();
  const auto count = load_word(state_->object->bss->walk_count);
  return all.first(std::min<std::size_t>(all.size(), count));
}

int CgroupPrograms::root_level() const {
  return static_cast<int>(load_word(state_->object->bss->walk_root_level)) - 1;
}

void CgroupPrograms::set_root_level(std::uint32_t level) {
  __atomic_store_n(&state_->object->bss->walk_root_level, std::uint64_t{level} + 1,
                   __ATOMIC_RELAXED);
}

int CgroupPrograms::storage_fd() const {
  return state_->storage ? bpf_map__fd(state_->object->maps.slots) : -1;
}

int CgroupPrograms::made_fd() const {
  return state_->made ? ring_buffer__epoll_fd(state_->made.get()) : -1;
}

int CgroupPrograms::take_made() {
  return state_->made ? std::max(0, ring_buffer__consume(state_->made.get())) : 0;
}

std::vector<LoadedProgram> CgroupPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
