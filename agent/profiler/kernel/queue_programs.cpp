// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <queue.skel.h>

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

tl::expected<QueuePrograms, std::string> QueuePrograms::load(const Layout& layout) {
  auto state = std::make_unique<State>();
  state->object.reset(queue_bpf__open());
  queue_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening queue.bpf.o"));
  object->rodata->cpu_count = layout.possible_cpus;
  object->rodata->period_ns = kPeriodNs;
  bpf_map__set_max_entries(object->maps.queue_cpus, layout.possible_cpus);
  if (queue_bpf__load(object) != 0) return tl::unexpected(error("loading queue.bpf.o"));
  auto cpus = Mapping<bpf::QueueCpu>::open(bpf_map__fd(object->maps.queue_cpus),
                                           layout.possible_cpus, false);
  if (!cpus) return tl::unexpected(cpus.error());
  state->cpus = std::move(*cpus);
  bpf_test_run_opts run{};
  run.sz = sizeof run;
  const int start = bpf_program__fd(object->progs.start_looking);
  if (bpf_prog_test_run_opts(start, &run) != 0) return tl::unexpected(error("running queue.bpf.o"));
  if (run.retval != 0) {
    errno = static_cast<int>(-run.retval);
    return tl::unexpected(error("starting the timer of queue.bpf.o"));
  }
  return QueuePrograms(std::move(state));
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
