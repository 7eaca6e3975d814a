// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <queue.skel.h>

#include <cerrno>

#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"

namespace optipod::agent::kernel {
namespace {

static_assert(bpf::kQueueBuckets == shm::kQueueBuckets);

/// 49 looks a second: out of step with everything that happens every so many whole milliseconds.
constexpr std::uint64_t kPeriodNs = 1'000'000'000 / 49;

}  // namespace

struct QueuePrograms::State {
  Object<queue_bpf, queue_bpf__destroy> object;
  Mapping<bpf::QueueCpu> cpus;
};

tl::expected<std::unique_ptr<QueuePrograms::State>, std::string> QueuePrograms::attempt(
    const Layout& layout, bool by_name) {
  auto state = std::make_unique<State>();
  state->object.reset(queue_bpf__open());
  queue_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening queue.bpf.o"));
  object->rodata->cpu_count = layout.possible_cpus;
  object->rodata->period_ns = kPeriodNs;
  bpf_program__set_autoload(object->progs.start_by_name, by_name);
  bpf_program__set_autoload(object->progs.start_by_group, !by_name);
  bpf_map__set_max_entries(object->maps.queue_cpus, layout.possible_cpus);
  if (queue_bpf__load(object) != 0) return tl::unexpected(error("loading queue.bpf.o"));
  auto cpus = Mapping<bpf::QueueCpu>::open(bpf_map__fd(object->maps.queue_cpus),
                                           layout.possible_cpus, false);
  if (!cpus) return tl::unexpected(cpus.error());
  state->cpus = std::move(*cpus);
  bpf_test_run_opts run{};
  run.sz = sizeof run;
  const bpf_program* start = by_name ? object->progs.start_by_name : object->progs.start_by_group;
  if (bpf_prog_test_run_opts(bpf_program__fd(start), &run) != 0)
    return tl::unexpected(error("running queue.bpf.o"));
  const int found = static_cast<int>(run.retval);
  if (found <= 0) {
    errno = found < 0 ? -found : ENOENT;
    return tl::unexpected(error(found < 0 ? "starting the timer" : "looking for run queues"));
  }
  return state;
}

tl::expected<QueuePrograms, std::string> QueuePrograms::load(const Layout& layout) {
  auto state = attempt(layout, false);
  if (!state) state = attempt(layout, true);
  if (!state) return tl::unexpected(state.error());
  return QueuePrograms(std::move(*state));
}

QueuePrograms::QueuePrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
QueuePrograms::QueuePrograms(QueuePrograms&&) noexcept = default;
QueuePrograms& QueuePrograms::operator=(QueuePrograms&&) noexcept = default;
QueuePrograms::~QueuePrograms() = default;

shm::QueueLengths QueuePrograms::sum(std::span<const unsigned> cpus) const {
  shm::QueueLengths lengths{};
  for (const unsigned cpu : cpus) {
    const bpf::QueueCpu& one = state_->cpus.values()[cpu];
    for (std::size_t i = 0; i < shm::kQueueBuckets; ++i)
      lengths.looks[i] += load_word(one.looks[i]);
    lengths.waiting += load_word(one.waiting);
  }
  return lengths;
}

std::vector<LoadedProgram> QueuePrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
