// SPDX-License-Identifier: Apache-2.0
//
// What shortage of memory does, made by a memory limit: beside the memory controller's own counts
// and /proc/vmstat.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <sstream>

#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"
#include "tests/agent/kernel/stages.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;

namespace {

constexpr std::size_t kLimit = 16u << 20;

void write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  REQUIRE(file);
}

/// A cgroup on v2, to be charged, and a memory limit: there, or in the v1 hierarchy of a hybrid
/// host.
class Limited {
 public:
  explicit Limited(const std::string& name) : group_(Cgroup::top(name)) {
    const auto v1 = cgroup1_mount("memory");
    if (v1) {
      memory_.emplace(*v1 + "/optipod-test-" + std::to_string(::getpid()) + "-" + name);
      write(memory_->path() + "/memory.limit_in_bytes", std::to_string(kLimit));
      return;
    }
    write(cgroup2_mount() + "/cgroup.subtree_control", "+memory");
    write(group_.path() + "/memory.max", std::to_string(kLimit));
    write(group_.path() + "/memory.swap.max", "0");
  }
  [[nodiscard]] const Cgroup& group() const { return group_; }
  /// For the worker, which Worker has put into group() already.
  void enter() const {
    if (!memory_) return;
    std::ofstream file(memory_->path() + "/cgroup.procs");
    file << ::getpid() << std::flush;
    if (!file) ::_exit(20);
  }
  [[nodiscard]] std::uint64_t oom_kills() const {
    return memory_ ? memory_->stat("memory.oom_control", "oom_kill")
                   : group_.stat("memory.events", "oom_kill");
  }
  /// How often a charge met the limit.
  [[nodiscard]] std::uint64_t limit_met() const {
    return memory_ ? std::stoull(read_file(memory_->path() + "/memory.failcnt"))
                   : group_.stat("memory.events", "max");
  }

 private:
  Cgroup group_;
  std::optional<Cgroup> memory_;
};

std::uint64_t vmstat(const std::string& prefix) {
  std::istringstream lines(read_file("/proc/vmstat"));
  std::string name;
  std::uint64_t value = 0;
  std::uint64_t sum = 0;
  bool any = false;
  while (lines >> name >> value) {
    if (name.rfind(prefix, 0) != 0) continue;
    sum += value;
    any = true;
  }
  if (!any) throw std::runtime_error("no " + prefix + " in /proc/vmstat");
  return sum;
}

/// Through the page cache, of which only kLimit fits.
void fill_page_cache(const std::string& path, std::size_t bytes) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const std::string block(1u << 20, 'x');
  for (std::size_t done = 0; done < bytes; done += block.size())
    if (::write(fd, block.data(), block.size()) != static_cast<ssize_t>(block.size())) ::_exit(21);
  ::close(fd);
  ::unlink(path.c_str());
}

void fill_memory(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) ::_exit(22);
  for (std::size_t i = 0; i < bytes; i += 4096) static_cast<volatile char*>(memory)[i] = 1;
}

}  // namespace

TEST_CASE("who meets its memory limit waits for its own reclaim") {
  const Limited limited("reclaim");
  const Cgroup idle = Cgroup::top("reclaim-idle");
  auto kernel = Kernel::open(options_for());
  REQUIRE(kernel);
  INFO(kernel->diagnostics());
  REQUIRE((kernel->valid() & shm::kValidReclaimStall) != 0);
  REQUIRE(kernel->assign(limited.group().fd(), limited.group().id(), kFirstSlot));
  REQUIRE(kernel->assign(idle.fd(), idle.id(), kFirstSlot + 1));
  const std::uint64_t direct_before = vmstat("allocstall_");
  const shm::MemoryStats node_before = kernel->node_values().memory;
  const std::string path = "optipod-memory-test-" + std::to_string(::getpid());
  const auto begin = std::chrono::steady_clock::now();
  CHECK(Worker(limited.group().path(), -1, [&] {
          limited.enter();
          fill_page_cache(path, 4 * kLimit);
        }).join() == 0);
  const auto took = static_cast<std::uint64_t>((std::chrono::steady_clock::now() - begin).count());
  const shm::MemoryStats stalled = kernel->slot_values(kFirstSlot).memory;
  const shm::Histogram& memcg = stalled.reclaim_stall[shm::kMemcg];
  CHECK(limited.limit_met() > 0);
  // Every charge that meets the limit reclaims, once or (what it got was not enough) more often.
  CHECK(events(memcg) >= limited.limit_met());
  CHECK(memcg.sum_ns > 0);
  CHECK(memcg.sum_ns < took);  // one task
  CHECK(stalled.oom_kills == 0);
  CHECK(events(kernel->slot_values(kFirstSlot + 1).memory.reclaim_stall[shm::kMemcg]) == 0);
  CHECK(events(kernel->node_values().memory.reclaim_stall[shm::kMemcg]) >=
        events(memcg) + events(node_before.reclaim_stall[shm::kMemcg]));
  // Whatever direct reclaim the machine did meanwhile is all there is.
  const std::uint64_t direct_counted =
      events(kernel->node_values().memory.reclaim_stall[shm::kDirect]);
  CHECK(direct_counted <= vmstat("allocstall_") - direct_before +
                              events(node_before.reclaim_stall[shm::kDirect]) + 1);
}

TEST_CASE("OOM kills are the memory controller's and the kernel's, and outlive the victim") {
  const Limited limited("oom");
  auto kernel = Kernel::open(options_for());
  REQUIRE(kernel);
  REQUIRE((kernel->valid() & shm::kValidOomKills) != 0);
  REQUIRE(kernel->assign(limited.group().fd(), limited.group().id(), kFirstSlot));
  const std::uint64_t machine_before = vmstat("oom_kill");
  for (int i = 0; i < 2; ++i) {
    CHECK(Worker(limited.group().path(), -1, [&limited] {
            limited.enter();
            fill_memory(4 * kLimit);
          }).join() == 128 + SIGKILL);
  }
  CHECK(limited.oom_kills() == 2);
  CHECK(kernel->slot_values(kFirstSlot).memory.oom_kills == 2);
  CHECK(vmstat("oom_kill") - machine_before >= 2);
  CHECK(kernel->node_values().memory.oom_kills == vmstat("oom_kill") - machine_before);
  kernel->reset_slot(kFirstSlot);
  CHECK(kernel->slot_values(kFirstSlot).memory.oom_kills == 0);
  CHECK(kernel->node_values().memory.oom_kills >= 2);
}
