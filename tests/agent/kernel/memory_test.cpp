// SPDX-License-Identifier: Apache-2.0
//
// What shortage of memory does, made by a memory limit: beside the memory controller's own counts
// and /proc/vmstat.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "tests/agent/kernel/stages.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;

namespace {

constexpr std::size_t kLimit = 16u << 20;

/// With no more than kLimit, and no swap.
class MemoryLimited : public Limited {
 public:
  explicit MemoryLimited(const std::string& name) : Limited(name, "memory") {
    set(v1() ? "memory.limit_in_bytes" : "memory.max", std::to_string(kLimit));
    if (!v1()) set("memory.swap.max", "0");
  }
  /// For the worker, which Worker has put into group() already.
  void enter() const {
    if (v1()) set("cgroup.procs", std::to_string(::getpid()));
  }
  [[nodiscard]] std::uint64_t oom_kills() const {
    return control().stat(v1() ? "memory.oom_control" : "memory.events", "oom_kill");
  }
  /// How often a charge met the limit.
  [[nodiscard]] std::uint64_t limit_met() const {
    return v1() ? std::stoull(read_file(control().path() + "/memory.failcnt"))
                : control().stat("memory.events", "max");
  }
};

/// Sum of the numbers behind the words of a file that begin so; throws when there is none.
std::uint64_t number_in(const std::string& file, const std::string& prefix) {
  std::istringstream lines(read_file(file));
  std::string line;
  std::uint64_t sum = 0;
  bool any = false;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t value = 0;
    if (!(words >> name >> value) || name.rfind(prefix, 0) != 0) continue;
    sum += value;
    any = true;
  }
  if (!any) throw std::runtime_error("no " + prefix + " in " + file);
  return sum;
}

std::uint64_t vmstat(const std::string& prefix) {
  return number_in("/proc/vmstat", prefix);
}

/// How long any task of the machine waited for memory.
std::uint64_t memory_pressure_us() {
  const std::string text = read_file("/proc/pressure/memory");
  return std::stoull(text.substr(text.find("total=") + 6));
}

constexpr std::uint64_t kSpareKiB = 64 * 1024;

/// The least the kernel keeps free, for a while.
class MinFree {
 public:
  explicit MinFree(std::uint64_t kib) : was_(read_file(kFile)) {
    write_file(kFile, std::to_string(kib));
  }
  ~MinFree() { write_file(kFile, was_); }
  MinFree(const MinFree&) = delete;
  MinFree& operator=(const MinFree&) = delete;

 private:
  static constexpr const char* kFile = "/proc/sys/vm/min_free_kbytes";
  std::string was_;
};

/// A file without end that takes no room on the disk, but in the page cache. What is read of it is
/// clean, so it can always be reclaimed. Written pages not: with the multi-generational LRU (6.12)
/// nobody waits for them to reach the disk, and the OOM killer takes the writer at its limit.
class HoleFile {
 public:
  HoleFile() {
    char path[] = "optipod-memory-test-XXXXXX";
    fd_ = ::mkstemp(path);
    if (fd_ < 0 || ::unlink(path) != 0 || ::ftruncate(fd_, off_t{1} << 40) != 0)
      throw std::runtime_error("no file with a hole here");
  }
  ~HoleFile() { ::close(fd_); }
  HoleFile(const HoleFile&) = delete;
  HoleFile& operator=(const HoleFile&) = delete;
  void read_on(std::size_t mebibytes) const {
    static char buffer[1 << 20];
    for (std::size_t i = 0; i < mebibytes; ++i)
      if (::read(fd_, buffer, sizeof buffer) != sizeof buffer) ::_exit(23);
  }

 private:
  int fd_ = -1;
};

void fill_memory(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) ::_exit(22);
  for (std::size_t i = 0; i < bytes; i += 4096) static_cast<volatile char*>(memory)[i] = 1;
}

}  // namespace

TEST_CASE("who meets its memory limit waits for its own reclaim") {
  const MemoryLimited limited("reclaim");
  const Cgroup idle = Cgroup::top("reclaim-idle");
  Kernel kernel = open_kernel(shm::kValidReclaimStall);
  REQUIRE(kernel.assign(limited.group().fd(), limited.group().id(), kFirstSlot));
  REQUIRE(kernel.assign(idle.fd(), idle.id(), kFirstSlot + 1));
  const shm::MemoryStats node_before = kernel.node_values().memory;
  const HoleFile file;
  const auto begin = std::chrono::steady_clock::now();
  // On one CPU: of several, pressure is a mean.
  CHECK(Worker(limited.group().path(), test_cpu(), [&] {
          limited.enter();
          file.read_on(4 * kLimit >> 20);
        }).join() == 0);
  const auto took = static_cast<std::uint64_t>((std::chrono::steady_clock::now() - begin).count());
  const shm::MemoryStats stalled = kernel.slot_values(kFirstSlot).memory;
  const shm::Histogram& memcg = stalled.reclaim_stall[shm::kMemcg];
  const std::uint64_t pressed_ns = limited.group().pressure_us("memory.pressure", "some") * 1000;
  INFO(events(memcg) << " reclaims in " << memcg.sum_ns << " ns, pressure " << pressed_ns
                     << " ns, limit met " << limited.limit_met() << " times, took " << took);
  CHECK(events(memcg) > 0);
  if (limited.v1())
    CHECK(events(memcg) <= limited.limit_met());  // counted again when it tries for less, too
  else
    CHECK(events(memcg) >= limited.limit_met());  // counted before each reclaim
  // The kernel's own stop watch is around the same, but for what it weighs by other CPUs' time.
  CHECK(memcg.sum_ns <= pressed_ns + pressed_ns / 4 + 1'000'000);
  CHECK(2 * memcg.sum_ns >= pressed_ns);
  CHECK(memcg.sum_ns < took);
  CHECK(stalled.oom_kills == 0);
  CHECK(events(kernel.slot_values(kFirstSlot + 1).memory.reclaim_stall[shm::kMemcg]) == 0);
  CHECK(events(kernel.node_values().memory.reclaim_stall[shm::kMemcg]) >=
        events(memcg) + events(node_before.reclaim_stall[shm::kMemcg]));
}

// Takes the machine to its last free page, so it runs only where that is ours, by its tag
// (tests/kernels).
TEST_CASE("direct reclaim is what the kernel counts, and no longer than its pressure",
          "[.own-machine]") {
  Kernel kernel = open_kernel(shm::kValidReclaimStall);
  const Cgroup group = Cgroup::top("direct");
  REQUIRE(kernel.assign(group.fd(), group.id(), kFirstSlot));
  const HoleFile file;
  Stages stages;
  constexpr int kRounds = 8;  // newer kernels reclaim large folios, and have enough soon
  Worker reader(group.path(), -1, [&] {
    for (int round = 1; round <= kRounds; ++round) {
      while (number_in("/proc/meminfo", "MemFree:") > kSpareKiB) file.read_on(16);
      stages.done(2 * round - 1);
      stages.wait_for(2 * round - 1);
      file.read_on(32);
      stages.done(2 * round);
      stages.wait_for(2 * round);
    }
  });
  const std::uint64_t theirs_then = vmstat("allocstall_");
  const shm::MemoryStats node_then = kernel.node_values().memory;
  const std::uint64_t pressed_then = memory_pressure_us();
  const std::uint64_t begin = now_ns();
  for (int round = 1; round <= kRounds; ++round) {
    stages.wait_done(2 * round - 1);
    {
      // Full of pages of the file, and suddenly none of what is free may be taken.
      const MinFree more(2 * kSpareKiB);
      stages.start(2 * round - 1);
      stages.wait_done(2 * round);
    }
    stages.start(2 * round);
  }
  CHECK(reader.join() == 0);
  const std::uint64_t took = now_ns() - begin;
  const shm::Histogram& ours = kernel.slot_values(kFirstSlot).memory.reclaim_stall[shm::kDirect];
  const std::uint64_t node = events(kernel.node_values().memory.reclaim_stall[shm::kDirect]) -
                             events(node_then.reclaim_stall[shm::kDirect]);
  const std::uint64_t theirs = vmstat("allocstall_") - theirs_then;
  const std::uint64_t pressed_ns = (memory_pressure_us() - pressed_then) * 1000;
  INFO("allocstall " << theirs << ", counted " << node << ", of them the reader's " << events(ours)
                     << " in " << ours.sum_ns << " ns, pressure " << pressed_ns << " ns");
  REQUIRE(theirs >= 5);
  CHECK(node <= theirs);  // who reclaims in vain tries again at once, which is two for the kernel
  CHECK(2 * node >= theirs);
  CHECK(events(ours) >= node / 2);
  CHECK(ours.sum_ns > 0);
  CHECK(ours.sum_ns < took);  // one task
  CHECK(ours.sum_ns <= pressed_ns + 1'000'000);
}

TEST_CASE("OOM kills are the memory controller's and the kernel's, and outlive the victim") {
  const MemoryLimited limited("oom");
  Kernel kernel = open_kernel(shm::kValidOomKills);
  REQUIRE(kernel.assign(limited.group().fd(), limited.group().id(), kFirstSlot));
  const std::uint64_t machine_before = vmstat("oom_kill");
  std::vector<pid_t> victims;
  for (int i = 0; i < 2; ++i) {
    Worker victim(limited.group().path(), -1, [&limited] {
      ::prctl(PR_SET_NAME, "oom victim");
      limited.enter();
      fill_memory(4 * kLimit);
    });
    victims.push_back(victim.pid());
    CHECK(victim.join() == 128 + SIGKILL);
  }
  // Each is told, too, with who it was.
  std::vector<OomKill> kills;
  kernel.take_kills(kills);
  std::vector<pid_t> told;
  for (const OomKill& kill : kills) {
    if (kill.slot != kFirstSlot) continue;
    CHECK(kill.command == "oom victim");
    told.push_back(static_cast<pid_t>(kill.pid));
  }
  REQUIRE(told.size() == victims.size());
  // Numbered as in the first pid namespace, which has this number on every kernel.
  if (std::filesystem::read_symlink("/proc/self/ns/pid") == "pid:[4026531836]")
    CHECK(told == victims);
  kernel.take_kills(kills);
  CHECK(kills.empty());
  CHECK(limited.oom_kills() == 2);
  CHECK(kernel.slot_values(kFirstSlot).memory.oom_kills == 2);
  CHECK(vmstat("oom_kill") - machine_before >= 2);
  CHECK(kernel.node_values().memory.oom_kills == vmstat("oom_kill") - machine_before);
  kernel.reset_slot(kFirstSlot);
  CHECK(kernel.slot_values(kFirstSlot).memory.oom_kills == 0);
  CHECK(kernel.node_values().memory.oom_kills >= 2);
}
