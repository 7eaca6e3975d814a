// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cgroup.skel.h>
#include <cgroup_css.skel.h>
#include <cgroup_rstat.skel.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"
#include "agent/profiler/kernel/walk.hpp"

namespace optipod::agent::kernel {
namespace {

/// Room for that many cgroups: those with a slot and as many without, and never little.
std::uint32_t sample_count(std::uint32_t slots) {
  return std::max(4096u, 4 * slots);
}

using CgroupObject = Object<cgroup_bpf, cgroup_bpf__destroy>;

/// The build of cgroup.bpf.c for this kernel. All have the same maps and programs, so that one
/// skeleton serves them; nullptr, with errno, when libbpf cannot open it.
CgroupObject open_built_for(Flush flush) {
  CgroupObject object(static_cast<cgroup_bpf*>(std::calloc(1, sizeof(cgroup_bpf))));
  if (object == nullptr || cgroup_bpf__create_skeleton(object.get()) != 0) return nullptr;
  bpf_object_skeleton& skeleton = *object->skeleton;
  if (flush == Flush::kCgroupRstat) skeleton.data = cgroup_rstat_bpf__elf_bytes(&skeleton.data_sz);
  if (flush == Flush::kCssRstat) skeleton.data = cgroup_css_bpf__elf_bytes(&skeleton.data_sz);
  if (bpf_object__open_skeleton(&skeleton, nullptr) != 0) return nullptr;
  return object;
}

/// `news` is a vector of MadeCgroup. Libbpf calls this for each record of the ring.
int keep_news(void* news, void* record, std::size_t size) {
  constexpr std::size_t kPath = offsetof(bpf::MadeCgroup, path);
  if (size <= kPath) return 0;
  MadeCgroup made;
  std::memcpy(&made.id, record, sizeof made.id);
  const char* path = static_cast<const char*>(record) + kPath;
  made.path.assign(path, ::strnlen(path, size - kPath));
  static_cast<std::vector<MadeCgroup>*>(news)->push_back(std::move(made));
  return 0;
}

}  // namespace

struct CgroupPrograms::State {
  CgroupObject object;
  std::vector<MadeCgroup> news;  ///< filled while `made` is read
  std::unique_ptr<ring_buffer, decltype(&ring_buffer__free)> made{nullptr, ring_buffer__free};
  Mapping<bpf::CgroupSample> samples;
  bool storage = false;
};

tl::expected<CgroupPrograms, std::string> CgroupPrograms::load(const Plan& plan,
                                                               const Layout& layout,
                                                               const std::string& root_path) {
  auto state = std::make_unique<State>();
  state->object = open_built_for(plan.flush);
  cgroup_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening cgroup.bpf.o"));
  set_layout(*object->rodata, layout);
  object->rodata->sample_count = sample_count(layout.slots);
  object->rodata->read_quotas = plan.iterator_throttling;
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
    state->made.reset(
        ring_buffer__new(bpf_map__fd(object->maps.made), keep_news, &state->news, nullptr));
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
  return run_walk(state_->object->links.walk_cgroups);
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

std::uint64_t CgroupPrograms::dropped() const {
  return load_word(state_->object->bss->made_dropped);
}

int CgroupPrograms::storage_fd() const {
  return state_->storage ? bpf_map__fd(state_->object->maps.slots) : -1;
}

int CgroupPrograms::made_fd() const {
  return state_->made ? ring_buffer__epoll_fd(state_->made.get()) : -1;
}

void CgroupPrograms::take_made(std::vector<MadeCgroup>& out) {
  out.clear();
  if (!state_->made) return;
  ring_buffer__consume(state_->made.get());
  out.swap(state_->news);
}

std::vector<LoadedProgram> CgroupPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
