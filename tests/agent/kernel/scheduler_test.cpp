// SPDX-License-Identifier: Apache-2.0
//
// What the scheduler did beside letting tasks wait: throttled them by their own quota, moved them
// about, took the CPU from one container for another. Each against the kernel's own count.
#include <sched.h>
#include <unistd.h>

#include <optional>

#include "tests/agent/kernel/fake_cpus.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

constexpr Slot kA = kFirstSlot;
constexpr Slot kB = kFirstSlot + 1;

constexpr std::uint64_t kNeeds = shm::kValidMigrations | shm::kValidNeighbours;

/// A quota for what runs in inner(), given to the group around it: an ancestor's throttling counts,
/// too. Of all that runs it gets the CPU first, until the quota is used up.
class Quota {
 public:
  Quota(const std::string& name, std::chrono::microseconds run, std::chrono::microseconds period)
      : limited_(name, "cpu"), inner_(limited_.group().child("inner")) {
    if (limited_.v1()) {
      limited_.set("cpu.cfs_period_us", std::to_string(period.count()));
      limited_.set("cpu.cfs_quota_us", std::to_string(run.count()));
      limited_.set("cpu.shares", "262144");
      v1_inner_.emplace(limited_.control().child("inner"));
    } else {
      limited_.set("cpu.max", std::to_string(run.count()) + " " + std::to_string(period.count()));
      limited_.set("cpu.weight", "10000");
      limited_.set("cgroup.subtree_control", "+cpu");
    }
  }
  /// Where the limited work is charged.
  [[nodiscard]] const Cgroup& inner() const { return inner_; }
  /// For a process that is in inner() already.
  void take(pid_t pid) const {
    if (v1_inner_) write_file(v1_inner_->path() + "/cgroup.procs", std::to_string(pid));
  }
  [[nodiscard]] std::uint64_t throttled_ns() const {
    return limited_.v1() ? limited_.control().stat("cpu.stat", "throttled_time")
                         : limited_.control().stat("cpu.stat", "throttled_usec") * 1000;
  }
  [[nodiscard]] std::uint64_t throttled_periods() const {
    return limited_.control().stat("cpu.stat", "nr_throttled");
  }

 private:
  Limited limited_;
  Cgroup inner_;
  std::optional<Cgroup> v1_inner_;
};

/// How often the kernel has moved a task to another CPU.
std::uint64_t kernels_migrations(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/sched");
  const std::size_t at = text.find("se.nr_migrations");
  REQUIRE(at != std::string::npos);
  return std::stoull(text.substr(text.find(':', at) + 1));
}

std::uint64_t involuntary_switches(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/status");
  const std::string key = "\nnonvoluntary_ctxt_switches:";
  const std::size_t at = text.find(key);
  REQUIRE(at != std::string::npos);
  return std::stoull(text.substr(at + key.size()));
}

}  // namespace

TEST_CASE("waiting for the own quota is told apart from waiting for others") {
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(kNeeds | shm::kValidThrottledWait, raw);
    const Quota quota("limited", 2ms, 20ms);
    const Cgroup free = Cgroup::top("free");
    REQUIRE(kernel.assign(quota.inner().fd(), quota.inner().id(), kA));
    REQUIRE(kernel.assign(free.fd(), free.id(), kB));
    const Worker one(quota.inner().path(), test_cpu(), [] { spin_threads(2); });
    quota.take(one.pid());
    const Worker two(free.path(), test_cpu(), spin);
    const auto throttled_ns = [&quota] { return quota.throttled_ns(); };
    for (int i = 0; i < 200 && throttled_ns() == 0; ++i) sleep_for(50ms);
    const SlotValues free_then = kernel.slot_values(kB);
    SlotValues then, now;
    double theirs = 0, part = 0, wait = 0;
    for (int tries = 0; tries < 5; ++tries) {  // other work disturbs; a wrong value stays wrong
      then = kernel.slot_values(kA);
      const std::uint64_t theirs_then = throttled_ns();
      for (int i = 0; i < 200 && throttled_ns() < theirs_then + 500'000'000; ++i) sleep_for(50ms);
      theirs = static_cast<double>(throttled_ns() - theirs_then);
      now = kernel.slot_values(kA);
      REQUIRE(theirs >= 5e8);
      part =
          static_cast<double>(now.scheduler.throttled_wait_ns - then.scheduler.throttled_wait_ns);
      wait = static_cast<double>(now.cpu.runqueue_wait.sum_ns - then.cpu.runqueue_wait.sum_ns);
      CHECK(part <= wait);
      if (part == Approx(2 * theirs).epsilon(0.15)) break;
    }
    INFO("throttled " << theirs << " ns by cpu.stat, in waits " << part << " of " << wait);
    // Both threads wait for as long as the group is throttled.
    CHECK(part == Approx(2 * theirs).epsilon(0.15));
    // How many waits that makes depends on how far the quota was overdrawn.
    CHECK(now.scheduler.throttled_waits >= then.scheduler.throttled_waits + 4);
    CHECK(now.scheduler.throttled_switches >= then.scheduler.throttled_switches + 2);
    // The other one waits because it has no more than half a CPU: contention, and nothing else.
    const SlotValues free_now = kernel.slot_values(kB);
    CHECK(free_now.cpu.runqueue_wait.sum_ns > free_then.cpu.runqueue_wait.sum_ns);
    CHECK(free_now.scheduler.throttled_wait_ns == 0);
    CHECK(free_now.scheduler.throttled_switches == 0);
  }
}

TEST_CASE("put off the CPU by the own quota is nobody's preemption") {
  Kernel kernel = open_kernel(kNeeds | shm::kValidThrottledWait);
  // Throttled is only looked for at the scheduler's tick (1 to 10 ms), so a task overdraws its
  // quota by up to that. Where the next period's quota does not pay for it, throttling goes on and
  // the kernel counts that period, too, although nobody was put off the CPU again. So a large
  // quota.
  const Quota quota("alone", 20ms, 50ms);
  REQUIRE(kernel.assign(quota.inner().fd(), quota.inner().id(), kA));
  const Worker one(quota.inner().path(), test_cpu(), spin);
  quota.take(one.pid());
  const auto throttled = [&quota] { return quota.throttled_periods(); };
  // Since Linux 6.18 only a task that returns to user mode is taken off its queue: another may have
  // had the CPU before, which makes two switches of one throttling.
  const std::uint64_t switches_each = kernel_at_least(6, 18) ? 2 : 1;
  std::uint64_t ours = 0, theirs = 0;
  for (int tries = 0; tries < 5; ++tries) {  // other work disturbs; a wrong value stays wrong
    const std::uint64_t theirs_then = throttled();
    const SlotValues then = kernel.slot_values(kA);
    for (int i = 0; i < 1000 && throttled() < theirs_then + 10; ++i) sleep_for(20ms);
    const SlotValues now = kernel.slot_values(kA);
    theirs = throttled() - theirs_then;
    REQUIRE(theirs >= 10);
    ours = now.scheduler.throttled_switches - then.scheduler.throttled_switches;
    std::uint64_t preemptions = 0;
    for (std::size_t by = 0; by < shm::kPreemptedByCount; ++by)
      preemptions += now.cpu.preemptions[by] - then.cpu.preemptions[by];
    // Whatever disturbs: each time it left the CPU while it wanted it has one cause.
    CHECK(now.cpu.switches[shm::kInvoluntary] - then.cpu.switches[shm::kInvoluntary] ==
          preemptions + ours);
    if (ours + 1 >= theirs && ours <= switches_each * theirs + 1) break;
  }
  CHECK(ours + 1 >= theirs);
  CHECK(ours <= switches_each * theirs + 1);
}

TEST_CASE("a migration is charged to the task that is moved, not to the one that moves it") {
  REQUIRE(::sysconf(_SC_NPROCESSORS_ONLN) >= 2);
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(kNeeds, raw);
    const Cgroup a = Cgroup::top("moved");
    const Cgroup b = Cgroup::top("mover");
    REQUIRE(kernel.assign(a.fd(), a.id(), kA));
    REQUIRE(kernel.assign(b.fd(), b.id(), kB));
    const int here = test_cpu();
    const Worker one(a.path(), here, spin);
    const std::uint64_t theirs_then = kernels_migrations(one.pid());
    const std::uint64_t then = kernel.slot_values(kA).scheduler.migrations;
    const pid_t moved = one.pid();
    Worker mover(b.path(), here, [moved, here] {
      for (int i = 0; i < 400; ++i) {
        pin(moved, i % 2 == 0 ? 0 : here);
        ::usleep(1000);
      }
    });
    CHECK(mover.join() == 0);
    const std::uint64_t theirs = kernels_migrations(moved) - theirs_then;
    const SlotValues now = kernel.slot_values(kA);
    REQUIRE(theirs >= 100);
    CHECK(static_cast<double>(now.scheduler.migrations - then) ==
          Approx(static_cast<double>(theirs)).margin(2));
    CHECK(kernel.slot_values(kB).scheduler.migrations < theirs / 4);
  }
}

TEST_CASE("a migration is far when it leaves the cache, and farther when it leaves the node") {
  REQUIRE(::sysconf(_SC_NPROCESSORS_ONLN) >= 2);
  const int here = test_cpu();
  const std::string other = std::to_string(here);
  enum class Machine { kOneCache, kTwoCaches, kTwoNodes };
  for (const bool raw : {false, true}) {
    for (const Machine machine : {Machine::kOneCache, Machine::kTwoCaches, Machine::kTwoNodes}) {
      INFO("raw_tp: " << raw << ", machine " << static_cast<int>(machine));
      const bool one_cache = machine == Machine::kOneCache;
      FakeCpus cpus;
      cpus.add(0, {{3, "0"}}, 0);
      cpus.add(here, {{3, one_cache ? "0" : other}}, machine == Machine::kTwoNodes ? 1 : 0);
      KernelOptions options = options_for();
      options.force_raw_tp = raw;
      options.devices = cpus.path();
      auto kernel = Kernel::open(options);
      REQUIRE(kernel);
      REQUIRE((kernel->valid() & shm::kValidFarMigrations) != 0);
      const Cgroup a = Cgroup::top("far");
      REQUIRE(kernel->assign(a.fd(), a.id(), kA));
      const Worker one(a.path(), here, spin);
      const SlotValues then = kernel->slot_values(kA);
      // Between these two CPUs alone.
      for (int i = 0; i < 100; ++i) {
        pin(one.pid(), i % 2 == 0 ? 0 : here);
        ::usleep(1000);
      }
      const SlotValues now = kernel->slot_values(kA);
      const std::uint64_t all = now.scheduler.migrations - then.scheduler.migrations;
      const auto far = [&](shm::FarMigration to) {
        return now.far_migrations[to] - then.far_migrations[to];
      };
      REQUIRE(all >= 30);
      CHECK(far(shm::kToOtherCache) == (machine == Machine::kTwoCaches ? all : 0));
      CHECK(far(shm::kToOtherNode) == (machine == Machine::kTwoNodes ? all : 0));
      kernel->reset_slot(kA);
      CHECK(kernel->node_values().far_migrations[shm::kToOtherNode] >= far(shm::kToOtherNode));
    }
  }
  KernelOptions options = options_for();
  options.devices = "/nowhere";
  auto kernel = Kernel::open(options);
  REQUIRE(kernel);
  CHECK((kernel->valid() & shm::kValidFarMigrations) == 0);
  CHECK((kernel->valid() & shm::kValidMigrations) != 0);
}

TEST_CASE("neighbours: who took the CPU from whom, and for how long") {
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(kNeeds, raw);
    const Cgroup a = Cgroup::top("victim");
    const Cgroup b = Cgroup::top("aggressor");
    REQUIRE(kernel.assign(a.fd(), a.id(), kA));
    REQUIRE(kernel.assign(b.fd(), b.id(), kB));
    const Worker one(a.path(), test_cpu(), spin);
    // Whoever sleeps most of the time preempts when it wakes up.
    const Worker two(b.path(), test_cpu(), [] { pulse(300us, 700us); });
    std::vector<PairCount> taken;
    std::uint64_t by_b = 0, all = 0, ns = 0;
    const auto take = [&] {
      kernel.take_pairs(taken);
      for (const PairCount& pair : taken) {
        if (pair.victim != kA) continue;
        all += pair.preemptions;
        if (pair.aggressor != kB) continue;
        by_b += pair.preemptions;
        ns += pair.taken_ns;
      }
    };
    const std::uint64_t switches_then = involuntary_switches(one.pid());
    for (int i = 0; i < 400 && by_b < 20; ++i) {
      sleep_for(50ms);
      take();
    }
    REQUIRE(by_b >= 20);
    // What is still on its way comes with the next two.
    const shm::CpuStats counted = kernel.slot_values(kA).cpu;
    const std::uint64_t theirs = involuntary_switches(one.pid()) - switches_then;
    take();
    take();
    CHECK(all >= counted.preemptions[shm::kByOther]);
    CHECK(static_cast<double>(all) ==
          Approx(static_cast<double>(counted.preemptions[shm::kByOther])).margin(5));
    CHECK(all <= theirs + counted.preemptions[shm::kByOther]);
    CHECK(kernel.pairs_untold() == 0);
    // A time slice of the one is a wait of the other, up to the next switch.
    const auto waited = static_cast<double>(kernel.slot_values(kA).cpu.runqueue_wait.sum_ns);
    CHECK(static_cast<double>(ns) <= 1.02 * waited);
    CHECK(ns > by_b * 1000);
  }
}

TEST_CASE("pairs beyond the room for them are counted as untold") {
  KernelOptions options = options_for();
  options.max_slots = 400;
  auto kernel = Kernel::open(options);
  REQUIRE(kernel);
  // 24 spinners on one CPU make 552 pairs, in a set for 256.
  constexpr std::size_t kGroups = 24;
  std::vector<Cgroup> groups;
  std::vector<Worker> workers;
  for (std::size_t i = 0; i < kGroups; ++i) {
    groups.push_back(Cgroup::top("many-" + std::to_string(i)));
    REQUIRE(kernel->assign(groups[i].fd(), groups[i].id(), kFirstSlot + static_cast<Slot>(i)));
    workers.emplace_back(groups[i].path(), test_cpu(), spin);
  }
  const auto by_other = [&] {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kGroups; ++i)
      sum += kernel->slot_values(kFirstSlot + static_cast<Slot>(i)).cpu.preemptions[shm::kByOther];
    return sum;
  };
  for (int i = 0; i < 200 && by_other() < 300; ++i) sleep_for(100ms);
  std::vector<PairCount> taken;
  std::uint64_t told = 0;
  const std::uint64_t counted = by_other();
  REQUIRE(counted >= 300);
  for (int i = 0; i < 2; ++i) {
    kernel->take_pairs(taken);
    for (const PairCount& pair : taken)
      if (pair.victim >= kFirstSlot) told += pair.preemptions;
  }
  // None is lost without being counted.
  CHECK(told + kernel->pairs_untold() >= counted);
  CHECK(static_cast<double>(told + kernel->pairs_untold()) ==
        Approx(static_cast<double>(counted)).margin(50));
}
