// SPDX-License-Identifier: Apache-2.0
//
// Reads, writes and page faults per cgroup against what /proc says of the task that made them.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sstream>
#include <thread>

#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"
#include "tests/agent/kernel/stages.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;

namespace {

constexpr std::size_t kPage = 4096;

/// `calls` reads from /dev/zero and twice as many writes to /dev/null, 1000 bytes each.
void read_and_write(int calls) {
  char buffer[1000];
  const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  for (int i = 0; i < calls; ++i) {
    if (::read(zero, buffer, sizeof buffer) != sizeof buffer) ::_exit(1);
    for (int twice = 0; twice < 2; ++twice)
      if (::write(null, buffer, sizeof buffer) != sizeof buffer) ::_exit(2);
  }
  ::close(zero);
  ::close(null);
}

void touch_pages(std::size_t pages) {
  void* memory =
      ::mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) ::_exit(3);
  ::madvise(memory, pages * kPage, MADV_NOHUGEPAGE);
  for (std::size_t i = 0; i < pages; ++i) static_cast<volatile char*>(memory)[i * kPage] = 1;
}

std::uint64_t io(pid_t pid, const std::string& key) {
  std::istringstream lines(read_file("/proc/" + std::to_string(pid) + "/io"));
  std::string name;
  std::uint64_t value = 0;
  while (lines >> name >> value)
    if (name == key + ":") return value;
  throw std::runtime_error("no " + key + " in /proc/PID/io");
}

/// Field of /proc/PID/stat, as numbered in proc(5); behind the name only.
std::uint64_t stat_field(pid_t pid, int number) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
  std::istringstream words(text.substr(text.rfind(')') + 1));
  std::string word;
  for (int i = 3; i <= number; ++i) words >> word;
  return std::stoull(word);
}

/// Every way of walking that this kernel has: one before Linux 6.7, then two.
std::vector<std::pair<std::string, kernel::Probes>> variants() {
  const kernel::Probes best = kernel::probe(options_for());
  kernel::Probes older = best;
  older.task_iter = false;
  older.host_pids = true;  // the workers are of this pid namespace
  REQUIRE(kernel::plan(older).tasks == kernel::Plan::TaskWalk::kEach);
  if (!best.task_iter) return {{"the kernel walks", older}};
  REQUIRE(kernel::plan(best).tasks == kernel::Plan::TaskWalk::kAll);
  return {{"the program walks", best}, {"the kernel walks", older}};
}

}  // namespace

TEST_CASE("calls, bytes and faults are those of the tasks, living or ended") {
  for (const auto& [name, probes] : variants()) {
    INFO(name);
    const Cgroup root = Cgroup::top("task");
    const Cgroup group = root.child("a");
    auto kernel = kernel::open(options_for(root.from_mount()), probes);
    REQUIRE(kernel);
    INFO(kernel->diagnostics());
    REQUIRE((kernel->valid() & shm::kValidFiles) != 0);
    REQUIRE((kernel->valid() & shm::kValidPageFaults) != 0);
    REQUIRE(kernel->assign(group.fd(), group.id(), kFirstSlot));
    Stages stages;
    Worker worker(group.path(), -1, [&stages] {
      read_and_write(50);
      touch_pages(300);
      stages.done(1);
      stages.wait_for(2);
      std::thread([] { read_and_write(7); }).join();
      read_and_write(20);
      touch_pages(100);
    });
    stages.wait_done(1);
    const std::uint64_t minor_before = stat_field(worker.pid(), 10);
    kernel->take_up();
    const SlotValues living = kernel->slot_values(kFirstSlot);
    CHECK(living.files.calls[shm::kRead] == io(worker.pid(), "syscr"));
    CHECK(living.files.calls[shm::kWrite] == io(worker.pid(), "syscw"));
    CHECK(living.files.bytes[shm::kRead] == io(worker.pid(), "rchar"));
    CHECK(living.files.bytes[shm::kWrite] == io(worker.pid(), "wchar"));
    CHECK(living.files.calls[shm::kRead] >= 50);
    CHECK(living.files.bytes[shm::kWrite] >= 100'000);
    // While it waits it may still touch a page for the first time.
    CHECK(living.memory.page_faults[shm::kMinor] >= minor_before);
    CHECK(living.memory.page_faults[shm::kMinor] <= stat_field(worker.pid(), 10));
    CHECK(living.memory.page_faults[shm::kMajor] == stat_field(worker.pid(), 12));
    CHECK(living.memory.page_faults[shm::kMinor] >= 300);
    // Nothing happened: nothing is added.
    kernel->take_up();
    CHECK(kernel->slot_values(kFirstSlot).files.calls[shm::kRead] ==
          living.files.calls[shm::kRead]);

    stages.start(2);
    CHECK(worker.join() == 0);
    // Without another walk.
    const SlotValues ended = kernel->slot_values(kFirstSlot);
    CHECK(ended.files.calls[shm::kRead] == living.files.calls[shm::kRead] + 27);
    CHECK(ended.files.calls[shm::kWrite] == living.files.calls[shm::kWrite] + 54);
    CHECK(ended.files.bytes[shm::kRead] == living.files.bytes[shm::kRead] + 27'000);
    CHECK(ended.files.bytes[shm::kWrite] == living.files.bytes[shm::kWrite] + 54'000);
    CHECK(ended.memory.page_faults[shm::kMinor] >= living.memory.page_faults[shm::kMinor] + 100);
    kernel->take_up();
    CHECK(kernel->slot_values(kFirstSlot).files.calls[shm::kRead] == ended.files.calls[shm::kRead]);

    // The node keeps what a slot handed back had counted; others' work is not the node's.
    CHECK(Worker("", -1, [] { read_and_write(1000); }).join() == 0);
    kernel->reset_slot(kFirstSlot);
    CHECK(kernel->slot_values(kFirstSlot).files.calls[shm::kRead] == 0);
    CHECK(kernel->node_values().files.calls[shm::kRead] == ended.files.calls[shm::kRead]);
    CHECK(kernel->node_values().memory.page_faults[shm::kMinor] ==
          ended.memory.page_faults[shm::kMinor]);
  }
}

TEST_CASE("a task older than the agent counts from then on") {
  for (const auto& [name, probes] : variants()) {
    INFO(name);
    const Cgroup group = Cgroup::top("task-old");
    Stages stages;
    Worker worker(group.path(), -1, [&stages] {
      read_and_write(500);
      stages.done(1);
      stages.wait_for(2);
      read_and_write(30);
      stages.done(2);
      stages.wait_for(3);
    });
    stages.wait_done(1);
    auto kernel = kernel::open(options_for(), probes);
    REQUIRE(kernel);
    REQUIRE(kernel->assign(group.fd(), group.id(), kFirstSlot));
    stages.start(2);
    stages.wait_done(2);
    kernel->take_up();
    CHECK(kernel->slot_values(kFirstSlot).files.calls[shm::kRead] == 30);
    CHECK(kernel->slot_values(kFirstSlot).files.bytes[shm::kWrite] == 60'000);
    stages.start(3);
    CHECK(worker.join() == 0);
    CHECK(kernel->slot_values(kFirstSlot).files.calls[shm::kRead] == 30);
  }
}
