// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <task.skel.h>
#include <task_all.skel.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"
#include "agent/profiler/kernel/slot_words.hpp"
#include "agent/profiler/kernel/walk.hpp"

namespace optipod::agent::kernel {
namespace {

enum Word {
  kReadCalls,
  kWriteCalls,
  kReadBytes,
  kWrittenBytes,
  kMinorFaults,
  kMajorFaults,
  kWords
};
static_assert(int{kWords} == int{bpf::kTaskWords});

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

using TaskObject = Object<task_bpf, task_bpf__destroy>;

/// The build of task.bpf.c for this way of walking; both have the same maps and programs. nullptr,
/// with errno, when libbpf cannot open it.
TaskObject open_built_for(Plan::TaskWalk walk) {
  TaskObject object(static_cast<task_bpf*>(std::calloc(1, sizeof(task_bpf))));
  if (object == nullptr || task_bpf__create_skeleton(object.get()) != 0) return nullptr;
  bpf_object_skeleton& skeleton = *object->skeleton;
  if (walk == Plan::TaskWalk::kAll) skeleton.data = task_all_bpf__elf_bytes(&skeleton.data_sz);
  if (bpf_object__open_skeleton(&skeleton, nullptr) != 0) return nullptr;
  return object;
}

}  // namespace

struct TaskPrograms::State {
  TaskObject object;
  SlotWords<bpf::TaskSlot> slots;
};

tl::expected<TaskPrograms, std::string> TaskPrograms::load(const Plan& plan, const Layout& layout) {
  auto state = std::make_unique<State>();
  state->object = open_built_for(plan.tasks);
  task_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening task.bpf.o"));
  set_layout(*object->rodata, layout);
  object->rodata->counting_since = monotonic_ns();
  const bool by_program = plan.tasks == Plan::TaskWalk::kAll;
  bpf_program__set_autoattach(object->progs.walk_tasks, !by_program);
  bpf_map__set_max_entries(object->maps.task_slots, layout.slots);
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  if (bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing task.bpf.o"));
  if (task_bpf__load(object) != 0) return tl::unexpected(error("loading task.bpf.o"));
  auto slots = SlotWords<bpf::TaskSlot>::open(bpf_map__fd(object->maps.task_slots), layout.slots);
  if (!slots) return tl::unexpected(slots.error());
  state->slots = std::move(*slots);
  if (by_program) {
    // The kernel comes with one task, ours; the program goes through all of them.
    bpf_iter_link_info where{};
    where.task.tid = static_cast<__u32>(::getpid());
    bpf_iter_attach_opts options{};
    options.sz = sizeof options;
    options.link_info = &where;
    options.link_info_len = sizeof where;
    object->links.walk_tasks = bpf_program__attach_iter(object->progs.walk_tasks, &options);
    if (object->links.walk_tasks == nullptr)
      return tl::unexpected(error("attaching the walk over tasks"));
  }
  if (task_bpf__attach(object) != 0) return tl::unexpected(error("attaching task.bpf.o"));
  TaskPrograms programs(std::move(state));
  programs.walk();  // tasks there before count from here on
  return programs;
}

TaskPrograms::TaskPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
TaskPrograms::TaskPrograms(TaskPrograms&&) noexcept = default;
TaskPrograms& TaskPrograms::operator=(TaskPrograms&&) noexcept = default;
TaskPrograms::~TaskPrograms() = default;

bool TaskPrograms::walk() {
  return run_walk(state_->object->links.walk_tasks);
}

void TaskPrograms::add(Slot slot, shm::FileStats& files, shm::MemoryStats& memory) const {
  const bpf::TaskSlot counted = state_->slots.read(slot);
  files.calls[shm::kRead] += counted.words[kReadCalls];
  files.calls[shm::kWrite] += counted.words[kWriteCalls];
  files.bytes[shm::kRead] += counted.words[kReadBytes];
  files.bytes[shm::kWrite] += counted.words[kWrittenBytes];
  memory.page_faults[shm::kMinor] += counted.words[kMinorFaults];
  memory.page_faults[shm::kMajor] += counted.words[kMajorFaults];
}

std::uint64_t TaskPrograms::dropped() const {
  return load_word(state_->object->bss->tasks_dropped);
}

void TaskPrograms::reset(Slot slot) {
  state_->slots.reset(slot);
}

std::vector<LoadedProgram> TaskPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
