// SPDX-License-Identifier: Apache-2.0
//
// Counters of the CPUs per cgroup. This machine may have none; then they must be absent, and the
// kernel's software counters, which every machine has, take their place: what a task has run.
#include <linux/perf_event.h>

#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

/// "Cycles" and "instructions" are nanoseconds of the CPU, "cache misses" page faults.
const std::vector<CounterEvent> kSoftware = {{PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK},
                                             {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK},
                                             {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS}};

KernelOptions counting(const std::vector<CounterEvent>& events) {
  KernelOptions options = options_for();
  options.hardware_counters = true;
  options.counter_events = events;
  return options;
}

std::string feature(const Kernel& kernel) {
  for (const auto& f : kernel.features())
    if (std::string(f.name) == "hardware_counters")
      return (f.enabled != 0 ? "+" : "-") + std::string(f.source);
  return "none";
}

void burn_and_rest() {
  for (int i = 0; i < 60; ++i) {
    burn(2ms);
    sleep_for(1ms);
  }
}

}  // namespace

TEST_CASE("in a window each slot's tasks have what was counted while they ran, and nobody else") {
  auto kernel = Kernel::open(counting(kSoftware));
  REQUIRE(kernel);
  INFO(kernel->diagnostics());
  REQUIRE(feature(*kernel) == "+raw_tp, in windows");
  REQUIRE((kernel->valid() & shm::kValidCacheMisses) != 0);
  const Cgroup busy = Cgroup::top("counter-busy"), idle = Cgroup::top("counter-idle");
  REQUIRE(kernel->assign(busy.fd(), busy.id(), kFirstSlot));
  REQUIRE(kernel->assign(idle.fd(), idle.id(), kFirstSlot + 1));
  const auto work = [&] {
    CHECK(Worker(idle.path(), test_cpu(), [] { sleep_for(1ms); }).join() == 0);
    const std::uint64_t before = busy.stat("cpu.stat", "usage_usec");
    CHECK(Worker(busy.path(), test_cpu(), burn_and_rest).join() == 0);
    return (busy.stat("cpu.stat", "usage_usec") - before) * 1000;
  };
  const auto counted = [&](Slot slot) { return kernel->slot_values(slot).hardware; };

  work();
  CHECK(counted(kFirstSlot).cycles == 0);  // no window is open
  kernel->open_window(true);
  sleep_for(50ms);  // until the pinned CPU has switched once
  const std::uint64_t used = work();
  kernel->open_window(false);
  const shm::HardwareCounters in_window = counted(kFirstSlot);
  INFO("used " << used << " ns, counted " << in_window.cycles << " in " << in_window.counted_ns);
  // An interrupt, or a hypervisor that takes the CPU away, is in one clock and not in the other.
  CHECK(static_cast<double>(in_window.cycles) > 0.7 * static_cast<double>(used));
  CHECK(static_cast<double>(in_window.cycles) < 1.6 * static_cast<double>(used));
  CHECK(static_cast<double>(in_window.instructions) ==
        Approx(static_cast<double>(in_window.cycles)).epsilon(0.05));
  CHECK(static_cast<double>(in_window.counted_ns) ==
        Approx(static_cast<double>(in_window.cycles)).epsilon(0.05));
  CHECK(in_window.cache_misses > 0);  // the child's first touches
  CHECK(counted(kFirstSlot + 1).cycles < in_window.cycles / 4);
  work();
  CHECK(counted(kFirstSlot).cycles == in_window.cycles);  // it is closed

  // The next window begins anew: what ran between the two is in neither.
  kernel->open_window(true);
  kernel->open_window(false);
  CHECK(counted(kFirstSlot).cycles - in_window.cycles < used / 4);
  const std::uint64_t node = kernel->node_values().hardware.cycles;
  CHECK(node >= in_window.cycles);
  kernel->reset_slot(kFirstSlot);
  CHECK(counted(kFirstSlot).cycles == 0);
  CHECK(kernel->node_values().hardware.cycles >= node);
}

TEST_CASE("where cache misses are not counted they are absent, and the other two are not") {
  auto kernel = Kernel::open(counting({kSoftware[0], kSoftware[1], {PERF_TYPE_SOFTWARE, 9999}}));
  REQUIRE(kernel);
  CHECK(feature(*kernel) == "+raw_tp, in windows");
  CHECK((kernel->valid() & shm::kValidHardwareCounters) != 0);
  CHECK((kernel->valid() & shm::kValidCacheMisses) == 0);
}

TEST_CASE("a machine without counters says so, and nothing else is lost") {
  auto kernel = Kernel::open(counting({{PERF_TYPE_SOFTWARE, 9999}, kSoftware[1], kSoftware[2]}));
  REQUIRE(kernel);
  CHECK(feature(*kernel) == "-no hardware counters");
  CHECK((kernel->valid() & (shm::kValidHardwareCounters | shm::kValidCacheMisses)) == 0);
  CHECK((kernel->valid() & shm::kValidRunqueueWait) != 0);
  kernel->open_window(true);  // does nothing
  CHECK(kernel->node_values().hardware.cycles == 0);
}

TEST_CASE("nobody asked: there is no such feature, and nothing is loaded for it") {
  auto kernel = Kernel::open(options_for());
  REQUIRE(kernel);
  CHECK(feature(*kernel) == "none");
  CHECK((kernel->valid() & shm::kValidHardwareCounters) == 0);
  for (const auto& program : kernel->programs()) CHECK(std::string(program.name) != "count_task");
}

TEST_CASE("the hardware's own counters count, or are absent") {
  auto kernel = Kernel::open(counting({}));
  REQUIRE(kernel);
  const bool there = (kernel->valid() & shm::kValidHardwareCounters) != 0;
  CHECK(feature(*kernel) == (there ? "+raw_tp, in windows" : "-no hardware counters"));
  kernel->open_window(true);
  sleep_for(50ms);
  CHECK(Worker("", test_cpu(), burn_and_rest).join() == 0);
  const auto counted = kernel->node_values().hardware;
  CHECK((counted.cycles > 1'000'000) == there);
  CHECK((counted.instructions > 1'000'000) == there);
}
