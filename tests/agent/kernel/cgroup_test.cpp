// SPDX-License-Identifier: Apache-2.0
//
// The cgroup iterator against the files that say the same, and slots of cgroups that come later.
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"
#include "bpf/shared.h"
#include "shm/fd.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

std::optional<CgroupValues> read_one(Kernel& kernel, std::uint64_t id) {
  std::vector<CgroupValues> all;
  if (!kernel.read_cgroups(all)) return std::nullopt;
  for (const CgroupValues& one : all)
    if (one.cgroup_id == id) return one;
  return std::nullopt;
}

/// User and kernel time alike.
void burn_both() {
  const auto end = std::chrono::steady_clock::now() + 600ms;
  while (std::chrono::steady_clock::now() < end) {
    burn(2ms);
    const auto calls = std::chrono::steady_clock::now() + 2ms;
    while (std::chrono::steady_clock::now() < calls)
      for (int i = 0; i < 100; ++i) ::syscall(SYS_getppid);
  }
}

std::uint64_t switches(const SlotValues& values) {
  return values.cpu.switches[shm::kVoluntary] + values.cpu.switches[shm::kInvoluntary];
}

/// The kernel's ways to find a slot: storage, where it has it, and table.
std::vector<kernel::Probes> both_ways(const KernelOptions& options) {
  kernel::Probes best = kernel::probe(options);
  if (!kernel::plan(best).storage) return {best};
  kernel::Probes table = best;
  table.cgroup_storage = false;
  REQUIRE_FALSE(kernel::plan(table).storage);
  return {best, table};
}

}  // namespace

TEST_CASE("cpu time per cgroup is cpu.stat's") {
  const Cgroup root = Cgroup::top("cputime");
  const Cgroup group = root.child("a");
  auto kernel = Kernel::open(options_for(root.from_mount()));
  REQUIRE(kernel);
  Worker worker(group.path(), -1, burn_both);
  std::size_t compared = 0;
  for (int i = 0; i < 10; ++i) {
    sleep_for(20ms);
    const std::uint64_t before = group.stat("cpu.stat", "usage_usec");
    const auto values = read_one(*kernel, group.id());
    const std::uint64_t after = group.stat("cpu.stat", "usage_usec");
    REQUIRE(values);
    REQUIRE((values->valid & shm::kValidCpuTime) != 0);
    CHECK(values->cpu_time.usage_ns / 1000 >= before);
    CHECK(values->cpu_time.usage_ns / 1000 <= after);
    compared += before > 0 ? 1 : 0;
  }
  CHECK(compared >= 3);
  CHECK(worker.join() == 0);
  // The last of its time is booked when it leaves the CPU, maybe after we hear of its end.
  const auto booked = [&group] { return group.stat("cpu.stat", "usage_usec"); };
  for (std::uint64_t was = 0, is = booked(); was != is; was = is, is = booked()) sleep_for(20ms);
  // Now it stands still: the same to the microsecond, in the group and summed up in its parent.
  for (const Cgroup* one : {&group, &root}) {
    const auto values = read_one(*kernel, one->id());
    REQUIRE(values);
    CHECK(values->cpu_time.usage_ns / 1000 == one->stat("cpu.stat", "usage_usec"));
    CHECK(values->cpu_time.usage_ns > 20'000'000);
    CHECK(values->cpu_time.user_ns + values->cpu_time.system_ns == values->cpu_time.usage_ns);
    const auto usage = static_cast<double>(values->cpu_time.usage_ns);
    const double user = static_cast<double>(values->cpu_time.user_ns) / usage;
    const double users = static_cast<double>(one->stat("cpu.stat", "user_usec")) * 1000 / usage;
    CHECK(user == Approx(users).margin(0.05));
  }
}

TEST_CASE("the walk covers the subtree of the root and nothing else") {
  const Cgroup root = Cgroup::top("walk");
  const Cgroup inside = root.child("a");
  const Cgroup deeper = inside.child("b");
  const Cgroup outside = Cgroup::top("walk-not");
  auto kernel = Kernel::open(options_for(root.from_mount()));
  REQUIRE(kernel);
  const Cgroup later = deeper.child("c");
  std::vector<CgroupValues> all;
  REQUIRE(kernel->read_cgroups(all));
  std::vector<std::uint64_t> ids;
  ids.reserve(all.size());
  for (const CgroupValues& one : all) ids.push_back(one.cgroup_id);
  CHECK(ids == std::vector<std::uint64_t>{root.id(), inside.id(), deeper.id(), later.id()});
}

TEST_CASE("pressure per cgroup is what its files say") {
  const Cgroup root = Cgroup::top("pressure");
  const Cgroup group = root.child("a");
  auto kernel = Kernel::open(options_for(root.from_mount()));
  REQUIRE(kernel);
  const Worker worker(group.path(), test_cpu(), [] { spin_threads(3); });
  struct Line {
    const char* file;
    const char* line;
    shm::Resource resource;
    bool full;
  };
  const Line lines[] = {{"cpu.pressure", "some", shm::kCpu, false},
                        {"cpu.pressure", "full", shm::kCpu, true},
                        {"memory.pressure", "some", shm::kMemory, false},
                        {"memory.pressure", "full", shm::kMemory, true},
                        {"io.pressure", "some", shm::kIo, false},
                        {"io.pressure", "full", shm::kIo, true}};
  std::uint64_t seen = 0;
  for (int i = 0; i < 5; ++i) {
    sleep_for(200ms);
    std::uint64_t before[6];
    std::uint64_t after[6];
    for (std::size_t k = 0; k < 6; ++k) before[k] = group.pressure_us(lines[k].file, lines[k].line);
    const auto values = read_one(*kernel, group.id());
    for (std::size_t k = 0; k < 6; ++k) after[k] = group.pressure_us(lines[k].file, lines[k].line);
    REQUIRE(values);
    REQUIRE((values->valid & shm::kValidPressureCpu) != 0);
    REQUIRE((values->valid & shm::kValidPressureMemory) != 0);
    REQUIRE((values->valid & shm::kValidPressureIo) != 0);
    for (std::size_t k = 0; k < 6; ++k) {
      const shm::Pressure& p = values->pressure;
      const std::uint64_t ours =
          (lines[k].full ? p.stalled_ns : p.waiting_ns)[lines[k].resource] / 1000;
      INFO(lines[k].file << " " << lines[k].line);
      CHECK(ours >= before[k]);
      CHECK(ours <= after[k]);
    }
    seen = values->pressure.waiting_ns[shm::kCpu];
  }
  CHECK(seen > 100'000'000);  // three threads on one CPU: somebody waits all the time
}

TEST_CASE("a cgroup made later is the node's at once, outside ones are not") {
  const Cgroup root = Cgroup::top("mkdir");
  const Cgroup before = root.child("before");
  const Cgroup beside = Cgroup::top("mkdir-beside");
  const KernelOptions options = options_for(root.from_mount());
  for (const kernel::Probes& probes : both_ways(options)) {
    INFO("storage: " << probes.cgroup_storage);
    auto kernel = kernel::open(options, probes);
    REQUIRE(kernel);
    REQUIRE(kernel->diagnostics().empty());
    const auto pulses = [] {
      for (int i = 0; i < 200; ++i) {
        burn(100us);
        ::usleep(300);
      }
    };
    // On a slow machine a sleep may be over before its task has left the CPU: no switch then.
    const auto made_switches = [&](const std::string& path) {
      const std::uint64_t then = switches(kernel->slot_values(kNodeOther));
      CHECK(Worker(path, -1, pulses).join() == 0);
      // Who has ended leaves the CPU a last time after that was told.
      std::uint64_t seen = 0;
      std::uint64_t now = switches(kernel->slot_values(kNodeOther));
      do {
        seen = now;
        sleep_for(50ms);
        now = switches(kernel->slot_values(kNodeOther));
      } while (now != seen);
      return now - then;
    };
    CHECK(made_switches(before.path()) >= 180);
    CHECK(made_switches(beside.path()) == 0);
    const Cgroup after = root.child("after");
    CHECK(made_switches(after.path()) >= 180);
    const Cgroup deeper = after.child("deeper");
    CHECK(made_switches(deeper.path()) >= 180);
    const Cgroup beside_later = beside.child("later");
    CHECK(made_switches(beside_later.path()) == 0);

    // With a slot of its own, and without again.
    REQUIRE(kernel->assign(deeper.fd(), deeper.id(), kFirstSlot));
    CHECK(made_switches(deeper.path()) == 0);
    CHECK(switches(kernel->slot_values(kFirstSlot)) >= 180);
    REQUIRE(kernel->assign(deeper.fd(), deeper.id(), kNodeOther));
    CHECK(made_switches(deeper.path()) >= 180);
  }
}

TEST_CASE("cgroups made below the root are told at once, others are not") {
  const Cgroup root = Cgroup::top("made");
  const Cgroup beside = Cgroup::top("made-beside");
  const KernelOptions options = options_for(root.from_mount());
  const auto readable = [](const Kernel& kernel, std::chrono::milliseconds patience) {
    pollfd event{kernel.made_fd(), POLLIN, 0};
    return ::poll(&event, 1, static_cast<int>(patience.count())) == 1;
  };
  const auto ways = both_ways(options);
  {
    // Without storage, as before Linux 6.2, nothing is told and nothing is promised.
    auto without = kernel::open(options, ways.back());
    REQUIRE(without);
    CHECK(without->made_fd() == -1);
    std::vector<MadeCgroup> made;
    without->take_made(made);
    CHECK(made.empty());
  }
  if (!ways.front().cgroup_storage) return;
  auto kernel = kernel::open(options, ways.front());
  REQUIRE(kernel);
  REQUIRE(kernel->made_fd() >= 0);
  std::vector<CgroupValues> all;
  REQUIRE(kernel->read_cgroups(all));
  std::vector<MadeCgroup> made;
  kernel->take_made(made);
  CHECK(made.empty());
  const Cgroup elsewhere = beside.child("elsewhere");
  CHECK_FALSE(readable(*kernel, 0ms));
  const Cgroup first = root.child("first");
  const Cgroup second = first.child("second");
  CHECK(readable(*kernel, 10s));
  kernel->take_made(made);
  REQUIRE(made.size() == 2);
  CHECK(made[0].id == first.id());
  CHECK(made[0].path == first.from_mount());
  CHECK(made[1].id == second.id());
  CHECK(made[1].path == second.from_mount());
  CHECK_FALSE(readable(*kernel, 0ms));
  kernel->take_made(made);
  CHECK(made.empty());
  // Longer than is told: cut, and told all the same.
  const Cgroup deep = second.child(std::string(240, 'd'));
  const Cgroup deeper = deep.child(std::string(240, 'e'));
  const Cgroup deepest = deeper.child(std::string(240, 'f'));
  kernel->take_made(made);
  REQUIRE(made.size() == 3);
  CHECK(made[2].id == deepest.id());
  CHECK(made[2].path.size() == bpf::kMadePath - 1);
  CHECK(deepest.from_mount().starts_with(made[2].path));
  // More than there is room for: nothing but the news is lost.
  for (int i = 0; i < 4300; ++i) (void)root.child("many");
  kernel->take_made(made);
  CHECK(made.size() > 500);
  const Cgroup last = root.child("last");
  CHECK(readable(*kernel, 10s));
  kernel->take_made(made);
  CHECK(made.size() == 1);
}

TEST_CASE("the node's totals survive the reset of a slot") {
  const Cgroup root = Cgroup::top("reset");
  const Cgroup group = root.child("a");
  auto kernel = Kernel::open(options_for(root.from_mount()));
  REQUIRE(kernel);
  REQUIRE(kernel->assign(group.fd(), group.id(), kFirstSlot));
  CHECK(Worker(group.path(), -1, [] {
          for (int i = 0; i < 50; ++i) ::usleep(200);
        }).join() == 0);
  const std::uint64_t node = switches(kernel->node_values());
  CHECK(switches(kernel->slot_values(kFirstSlot)) >= 50);
  CHECK(node >= switches(kernel->slot_values(kFirstSlot)));
  kernel->forget(group.id());
  kernel->reset_slot(kFirstSlot);
  CHECK(switches(kernel->slot_values(kFirstSlot)) == 0);
  CHECK(switches(kernel->node_values()) >= node);
}

TEST_CASE("a cgroup removed while it is being charged is no error") {
  const Cgroup root = Cgroup::top("removed");
  for (const auto& ways : both_ways(options_for(root.from_mount()))) {
    auto kernel = kernel::open(options_for(root.from_mount()), ways);
    REQUIRE(kernel);
    std::optional<Cgroup> group = root.child("short-lived");
    const std::uint64_t id = group->id();
    const shm::Fd directory(::open(group->path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(directory);
    group.reset();
    const auto charged = kernel->assign(directory.get(), id, kFirstSlot);
    CHECK(charged.has_value());
    CHECK(kernel->assign(directory.get(), id, kNodeOther).has_value());
  }
}

TEST_CASE("what cannot be is refused in words") {
  KernelOptions options = options_for("/no/such/cgroup");
  auto kernel = Kernel::open(options);
  REQUIRE_FALSE(kernel);
  CHECK(kernel.error().find("/no/such/cgroup") != std::string::npos);

  options = options_for();
  options.cpus = {4095};
  kernel = Kernel::open(options);
  REQUIRE_FALSE(kernel);
  CHECK(kernel.error().find("4095") != std::string::npos);

  options = options_for();
  options.max_slots = 4;
  kernel = Kernel::open(options);
  REQUIRE(kernel);
  const Cgroup group = Cgroup::top("refused");
  CHECK_FALSE(kernel->assign(group.fd(), group.id(), 4));
  // Only the storage is told of the cgroup by its file descriptor.
  CHECK(kernel->assign(-1, group.id(), 3).has_value() !=
        kernel::plan(kernel::probe(options)).storage);
}
