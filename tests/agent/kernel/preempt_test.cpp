// SPDX-License-Identifier: Apache-2.0
//
// Who preempted whom, and how tasks left the CPU.
#include <sched.h>
#include <unistd.h>

#include <cstring>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

constexpr Slot kA = kFirstSlot;
constexpr Slot kB = kFirstSlot + 1;

constexpr std::uint64_t kNeeds = shm::kValidPreemptions | shm::kValidSwitches;

/// Context switches of all CPUs since boot.
std::int64_t all_switches() {
  std::istringstream lines(read_file("/proc/stat"));
  std::string line;
  while (std::getline(lines, line))
    if (line.rfind("ctxt ", 0) == 0) return std::stoll(line.substr(5));
  throw std::runtime_error("no ctxt in /proc/stat");
}

}  // namespace

TEST_CASE("preempted by itself") {
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(kNeeds, raw);
    const Cgroup a = Cgroup::top("self");
    const Cgroup inner = a.child("inner");  // charged to the same slot: the same party
    REQUIRE(kernel.assign(a.fd(), a.id(), kA));
    REQUIRE(kernel.assign(inner.fd(), inner.id(), kA));
    // Many, so that they meet each other even when other work wants the CPU, too.
    const Worker one(a.path(), test_cpu(), [] { spin_threads(4); });
    const Worker two(inner.path(), test_cpu(), [] { spin_threads(4); });
    const auto by_self = [&] { return kernel.slot_values(kA).cpu.preemptions[shm::kBySelf]; };
    for (int i = 0; i < 100 && by_self() < 10; ++i) sleep_for(250ms);
    const shm::CpuStats s = kernel.slot_values(kA).cpu;
    CHECK(s.preemptions[shm::kBySelf] >= 10);
    CHECK(s.switches[shm::kInvoluntary] >= s.preemptions[shm::kBySelf]);
  }
}

TEST_CASE("preempted by another cgroup") {
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(kNeeds, raw);
    const Cgroup a = Cgroup::top("other-a");
    const Cgroup b = Cgroup::top("other-b");
    REQUIRE(kernel.assign(a.fd(), a.id(), kA));
    REQUIRE(kernel.assign(b.fd(), b.id(), kB));
    const Worker one(a.path(), test_cpu(), spin);
    const Worker two(b.path(), test_cpu(), spin);
    const auto by_other = [&](Slot slot) {
      return kernel.slot_values(slot).cpu.preemptions[shm::kByOther];
    };
    for (int i = 0; i < 80 && (by_other(kA) < 30 || by_other(kB) < 30); ++i) sleep_for(250ms);
    for (const Slot slot : {kA, kB}) {
      const shm::CpuStats s = kernel.slot_values(slot).cpu;
      CHECK(s.preemptions[shm::kByOther] >= 30);
      CHECK(s.preemptions[shm::kBySelf] == 0);  // a single thread cannot preempt itself
    }
  }
}

TEST_CASE("preempted by the system") {
  const int here = test_cpu();
  cpu_set_t set;
  CPU_ZERO(&set);
  REQUIRE(::sched_getaffinity(0, sizeof set, &set) == 0);
  int there = -1;
  for (int cpu = 0; cpu < here; ++cpu)
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) there = cpu;
  REQUIRE(there >= 0);  // needs two CPUs
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(kNeeds, raw);
    const Cgroup a = Cgroup::top("system");
    REQUIRE(kernel.assign(a.fd(), a.id(), kA));
    const Worker one(a.path(), here, spin);
    // A running thread is moved by the migration thread of its CPU, which preempts it for that.
    const auto by_system = [&] { return kernel.slot_values(kA).cpu.preemptions[shm::kBySystem]; };
    for (int i = 0; i < 5000 && by_system() < 50; ++i) {
      pin(one.pid(), i % 2 == 0 ? there : here);
      ::usleep(2000);
    }
    const shm::CpuStats s = kernel.slot_values(kA).cpu;
    CHECK(s.preemptions[shm::kBySystem] >= 50);
    CHECK(s.preemptions[shm::kBySelf] == 0);
  }
}

TEST_CASE("switches are voluntary or not as the kernel's own counts say") {
  Kernel kernel = open_kernel(kNeeds);
  const Cgroup a = Cgroup::top("switches");
  REQUIRE(kernel.assign(a.fd(), a.id(), kA));
  // Sleeps often, and now and then wants more than the time slice of any scheduler.
  const Worker one(a.path(), test_cpu(), [] {
    for (;;) {
      for (int i = 0; i < 5; ++i) {
        burn(200us);
        ::usleep(300);
      }
      burn(20ms);
    }
  });
  const Worker two("", test_cpu(), spin);
  struct Counts {
    std::int64_t of[shm::kSwitchKinds];
  };
  const auto theirs = [&one] {
    const std::string text = read_file("/proc/" + std::to_string(one.pid()) + "/status");
    const auto value = [&text](const char* key) {
      const std::size_t at = text.find(key);
      REQUIRE(at != std::string::npos);
      return std::stoll(text.substr(at + std::strlen(key)));
    };
    Counts counts{};
    counts.of[shm::kVoluntary] = value("\nvoluntary_ctxt_switches:");
    counts.of[shm::kInvoluntary] = value("\nnonvoluntary_ctxt_switches:");
    return counts;
  };
  const auto ours = [&kernel] { return kernel.slot_values(kA).cpu; };
  sleep_for(100ms);
  // The kernel's counts before and after each look at ours.
  const Counts begin = theirs();
  const shm::CpuStats then = ours();
  const Counts begun = theirs();
  const auto enough = [&] {
    const Counts now = theirs();
    return now.of[shm::kVoluntary] >= begun.of[shm::kVoluntary] + 100 &&
           now.of[shm::kInvoluntary] >= begun.of[shm::kInvoluntary] + 20;
  };
  for (int i = 0; i < 80 && !enough(); ++i) sleep_for(250ms);
  const Counts end = theirs();
  const shm::CpuStats now = ours();
  const Counts ended = theirs();
  CHECK(end.of[shm::kVoluntary] - begun.of[shm::kVoluntary] >= 100);
  CHECK(end.of[shm::kInvoluntary] - begun.of[shm::kInvoluntary] >= 20);
  for (const auto kind : {shm::kVoluntary, shm::kInvoluntary}) {
    const auto counted = static_cast<std::int64_t>(now.switches[kind] - then.switches[kind]);
    // A switch is counted at two places, one after the other.
    CHECK(counted >= end.of[kind] - begun.of[kind] - 1);
    CHECK(counted <= ended.of[kind] - begin.of[kind] + 1);
  }
}

TEST_CASE("the idle task is never counted") {
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(kNeeds, raw);
    const Worker one("", test_cpu(), [] { pulse(20us, 500us); });
    // The kernel counts every switch, we all but those away from idle. The difference is how often
    // a CPU woke up, which is never when idle tasks are counted; so it takes a moment of some
    // idleness.
    const auto counted = [&kernel] {
      const SlotValues all = kernel.node_values();
      return static_cast<std::int64_t>(all.cpu.switches[0] + all.cpu.switches[1]);
    };
    std::int64_t wakeups = 0;
    for (int i = 0; i < 200 && wakeups < 3; ++i) {
      const shm::Histogram then = kernel.node_values().cpu.runqueue_wait;
      const std::int64_t ours = counted();
      const std::int64_t every = all_switches();
      sleep_for(400ms);
      wakeups = all_switches() - every;
      const std::int64_t left = counted() - ours;
      wakeups -= left;
      // Each task that came was waited for once, and has gone again, but for the last of each CPU.
      const shm::Histogram came = difference(kernel.node_values().cpu.runqueue_wait, then);
      CHECK(left > 100);
      CHECK(static_cast<std::int64_t>(events(came)) <= left + left / 20 + 100);
    }
    CHECK(wakeups >= 3);
  }
}
