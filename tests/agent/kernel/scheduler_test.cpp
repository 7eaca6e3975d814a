// SPDX-License-Identifier: Apache-2.0
//
// What the scheduler did beside letting tasks wait: throttled them by their own quota, moved them
// about, took the CPU from one container for another. Each against the kernel's own count.
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

constexpr Slot kA = kFirstSlot;
constexpr Slot kB = kFirstSlot + 1;

Kernel open_kernel(bool raw = false) {
  KernelOptions options = options_for();
  options.force_raw_tp = raw;
  auto kernel = Kernel::open(options);
  REQUIRE(kernel);
  INFO(kernel->diagnostics());
  REQUIRE((kernel->valid() & shm::kValidMigrations) != 0);
  REQUIRE((kernel->valid() & shm::kValidNeighbours) != 0);
  // A program that does not load would be replaced by its slower twin without a word.
  for (const auto& feature : kernel->features())
    if (std::string(feature.name) == "context_switches")
      REQUIRE(std::string(feature.source) == (raw ? "raw_tp" : "tp_btf"));
  return std::move(*kernel);
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  if (!(file << text << std::flush)) throw std::runtime_error("cannot write " + path);
}

/// A cgroup of the v1 cpu controller with a quota of 2 ms in each 20 ms.
struct QuotaGroup {
  explicit QuotaGroup(const std::string& name) : group(path_of(name)) {
    write_file(group.path() + "/cpu.cfs_period_us", "20000");
    write_file(group.path() + "/cpu.cfs_quota_us", "2000");
  }
  static std::string path_of(const std::string& name) {
    const auto mount = cgroup1_mount("cpu");
    REQUIRE(mount);
    return *mount + "/" + name + "-" + std::to_string(::getpid());
  }
  void take(pid_t pid) const { write_file(group.path() + "/cgroup.procs", std::to_string(pid)); }
  Cgroup group;
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
    Kernel kernel = open_kernel(raw);
    REQUIRE((kernel.valid() & shm::kValidThrottledWait) != 0);
    const Cgroup limited = Cgroup::top("limited");
    const Cgroup free = Cgroup::top("free");
    REQUIRE(kernel.assign(limited.fd(), limited.id(), kA));
    REQUIRE(kernel.assign(free.fd(), free.id(), kB));
    const QuotaGroup quota("quota");
    // Below the group with the quota: an ancestor's throttling counts, too.
    const Cgroup inner = quota.group.child("inner");
    const Worker one(limited.path(), test_cpu(), [] { spin_threads(2); });
    write_file(inner.path() + "/cgroup.procs", std::to_string(one.pid()));
    const Worker two(free.path(), test_cpu(), spin);
    const auto throttled_ns = [&quota] { return quota.group.stat("cpu.stat", "throttled_time"); };
    for (int i = 0; i < 200 && throttled_ns() == 0; ++i) sleep_for(50ms);
    const SlotValues then = kernel.slot_values(kA);
    const SlotValues free_then = kernel.slot_values(kB);
    const std::uint64_t theirs_then = throttled_ns();
    for (int i = 0; i < 200 && throttled_ns() < theirs_then + 500'000'000; ++i) sleep_for(50ms);
    const auto theirs = static_cast<double>(throttled_ns() - theirs_then);
    const SlotValues now = kernel.slot_values(kA);
    REQUIRE(theirs >= 5e8);
    const double part =
        static_cast<double>(now.scheduler.throttled_wait_ns - then.scheduler.throttled_wait_ns);
    const double wait =
        static_cast<double>(now.cpu.runqueue_wait.sum_ns - then.cpu.runqueue_wait.sum_ns);
    INFO("throttled " << theirs << " ns by cpu.stat, in waits " << part << " of " << wait);
    // Both threads wait for as long as the group is throttled.
    CHECK(part == Approx(2 * theirs).epsilon(0.15));
    CHECK(part <= wait);
    CHECK(now.scheduler.throttled_waits > then.scheduler.throttled_waits + 10);
    CHECK(now.scheduler.throttled_switches > then.scheduler.throttled_switches + 5);
    // The other one waits because it has no more than half a CPU: contention, and nothing else.
    const SlotValues free_now = kernel.slot_values(kB);
    CHECK(free_now.cpu.runqueue_wait.sum_ns > free_then.cpu.runqueue_wait.sum_ns);
    CHECK(free_now.scheduler.throttled_wait_ns == 0);
    CHECK(free_now.scheduler.throttled_switches == 0);
  }
}

TEST_CASE("put off the CPU by the own quota is nobody's preemption") {
  Kernel kernel = open_kernel();
  const Cgroup a = Cgroup::top("quota-a");
  REQUIRE(kernel.assign(a.fd(), a.id(), kA));
  const QuotaGroup quota("quota-alone");
  const Worker one(a.path(), test_cpu(), spin);
  quota.take(one.pid());
  const auto throttled = [&quota] { return quota.group.stat("cpu.stat", "nr_throttled"); };
  const std::uint64_t theirs_then = throttled();
  const SlotValues then = kernel.slot_values(kA);
  for (int i = 0; i < 400 && throttled() < theirs_then + 20; ++i) sleep_for(50ms);
  const SlotValues now = kernel.slot_values(kA);
  const std::uint64_t theirs = throttled() - theirs_then;
  REQUIRE(theirs >= 20);
  const std::uint64_t ours = now.scheduler.throttled_switches - then.scheduler.throttled_switches;
  std::uint64_t preemptions = 0;
  for (std::size_t by = 0; by < shm::kPreemptedByCount; ++by)
    preemptions += now.cpu.preemptions[by] - then.cpu.preemptions[by];
  // At most times. Since Linux 6.18 a task goes on until it returns to user mode: it may have to
  // make way twice for one throttling, or not at all when the quota is refilled before.
  CHECK(ours >= theirs / 2);
  CHECK(ours <= 2 * theirs + 3);
  CHECK(now.cpu.switches[shm::kInvoluntary] - then.cpu.switches[shm::kInvoluntary] ==
        preemptions + ours);
}

TEST_CASE("a migration is charged to the task that is moved, not to the one that moves it") {
  REQUIRE(::sysconf(_SC_NPROCESSORS_ONLN) >= 2);
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(raw);
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

TEST_CASE("neighbours: who took the CPU from whom, and for how long") {
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(raw);
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
