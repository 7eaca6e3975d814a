// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <pmu.skel.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"
#include "shm/fd.hpp"

namespace optipod::agent::kernel {
namespace {

constexpr std::array<CounterEvent, bpf::kCounters> kHardware = {{
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
}};

/// Of one CPU, whatever runs there; it counts when its leader is enabled. Not open: errno.
shm::Fd open_counter(const CounterEvent& event, unsigned cpu, int leader) {
  perf_event_attr wanted{};
  wanted.size = sizeof wanted;
  wanted.type = event.type;
  wanted.config = event.config;
  if (leader < 0) wanted.disabled = 1;
  return shm::Fd(static_cast<int>(::syscall(SYS_perf_event_open, &wanted, -1, static_cast<int>(cpu),
                                            leader, PERF_FLAG_FD_CLOEXEC)));
}

}  // namespace

struct CounterPrograms::State {
  Object<pmu_bpf, pmu_bpf__destroy> object;
  Mapping<bpf::CounterSlot> slots;
  std::vector<shm::Fd> leaders, others;
  std::uint32_t cpus = 1;
  std::size_t counters = 0;
  std::uint64_t windows = 0;

  /// Opens the counters of all CPUs that are on line; false with errno.
  bool open(std::span<const unsigned> cpus, std::span<const CounterEvent> events);
};

bool CounterPrograms::State::open(std::span<const unsigned> which,
                                  std::span<const CounterEvent> events) {
  counters = events.size();
  const int map = bpf_map__fd(object->maps.counters);
  for (const unsigned cpu : which) {
    shm::Fd leader = open_counter(events[0], cpu, -1);
    if (!leader && errno == ENODEV && cpu != which.front()) continue;  // off line
    for (std::size_t i = 0; i < counters; ++i) {
      shm::Fd other = i == 0 ? shm::Fd() : open_counter(events[i], cpu, leader.get());
      const int fd = i == 0 ? leader.get() : other.get();
      if (fd < 0) return false;
      const auto key = static_cast<std::uint32_t>(i) * cpus + cpu;
      if (bpf_map_update_elem(map, &key, &fd, BPF_ANY) != 0) return false;
      if (other) others.push_back(std::move(other));
    }
    leaders.push_back(std::move(leader));
  }
  errno = ENODEV;
  return !leaders.empty();
}

tl::expected<CounterPrograms, std::string> CounterPrograms::load(
    const Layout& layout, std::span<const unsigned> cpus, std::span<const CounterEvent> events) {
  std::span<const CounterEvent> wanted = events.empty() ? std::span(kHardware) : events;
  // All of them or, where the CPU does not count cache misses, the first two: never half a pair.
  for (; wanted.size() >= bpf::kCounters - 1; wanted = wanted.first(wanted.size() - 1)) {
    const shm::Fd leader = open_counter(wanted[0], cpus.front(), -1);
    if (!leader) return tl::unexpected(error("opening a counter"));
    bool all = true;
    for (const CounterEvent& event : wanted.subspan(1))
      all = all && static_cast<bool>(open_counter(event, cpus.front(), leader.get()));
    if (all) break;
  }
  if (wanted.size() < bpf::kCounters - 1) return tl::unexpected(error("opening counters"));
  auto state = std::make_unique<State>();
  state->object.reset(pmu_bpf__open());
  pmu_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening pmu.bpf.o"));
  set_layout(*object->rodata, layout);
  object->rodata->cpu_count = layout.possible_cpus;
  object->rodata->counter_count = static_cast<std::uint32_t>(wanted.size());
  const std::uint32_t slot_count = layout.slots * layout.possible_cpus;
  bpf_map__set_max_entries(object->maps.counters, bpf::kCounters * layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.counter_slots, slot_count);
  bpf_map__set_max_entries(object->maps.counter_cpus, layout.possible_cpus);
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  if (bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing pmu.bpf.o"));
  if (pmu_bpf__load(object) != 0) return tl::unexpected(error("loading pmu.bpf.o"));
  auto slots =
      Mapping<bpf::CounterSlot>::open(bpf_map__fd(object->maps.counter_slots), slot_count, true);
  if (!slots) return tl::unexpected(slots.error());
  state->slots = std::move(*slots);
  state->cpus = layout.possible_cpus;
  if (!state->open(cpus, wanted)) return tl::unexpected(error("opening counters"));
  if (pmu_bpf__attach(object) != 0) return tl::unexpected(error("attaching pmu.bpf.o"));
  return CounterPrograms(std::move(state));
}

CounterPrograms::CounterPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
CounterPrograms::CounterPrograms(CounterPrograms&&) noexcept = default;
CounterPrograms& CounterPrograms::operator=(CounterPrograms&&) noexcept = default;
CounterPrograms::~CounterPrograms() = default;

void CounterPrograms::open_window(bool open) {
  const auto set = [this](std::uint64_t window) {
    __atomic_store_n(&state_->object->bss->open_window, window, __ATOMIC_RELAXED);
  };
  if (!open) set(0);
  for (const shm::Fd& leader : state_->leaders)
    ::ioctl(leader.get(), open ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE,
            PERF_IOC_FLAG_GROUP);
  if (open) set(++state_->windows);
}

bool CounterPrograms::has_cache_misses() const {
  return state_->counters == bpf::kCounters;
}

void CounterPrograms::add(Slot slot, std::span<const unsigned> cpus,
                          shm::HardwareCounters& sum) const {
  for (const unsigned cpu : cpus) {
    const bpf::CounterSlot& one = state_->slots.values()[std::size_t{slot} * state_->cpus + cpu];
    sum.cycles += load_word(one.counts[0]);
    sum.instructions += load_word(one.counts[1]);
    sum.cache_misses += load_word(one.counts[2]);
    sum.counted_ns += load_word(one.running_ns);
  }
}

void CounterPrograms::reset(Slot slot) {
  const auto all = state_->slots.values().subspan(std::size_t{slot} * state_->cpus, state_->cpus);
  std::fill(all.begin(), all.end(), bpf::CounterSlot{});
}

std::vector<LoadedProgram> CounterPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
