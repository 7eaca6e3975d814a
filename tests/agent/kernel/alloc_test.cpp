// SPDX-License-Identifier: Apache-2.0
//
// Pages of the page allocator by who got them, beside what /proc/vmstat counts for all.
#include <sys/mman.h>
#include <unistd.h>

#include <sstream>

#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;

namespace {

constexpr Slot kA = kFirstSlot;
constexpr Slot kB = kFirstSlot + 1;
constexpr std::uint64_t kMebibyte = 1u << 20;

Kernel open_counting() {
  KernelOptions options = options_for();
  options.page_allocations = true;
  auto kernel = Kernel::open(options);
  REQUIRE(kernel);
  INFO(kernel->diagnostics());
  REQUIRE((kernel->valid() & shm::kValidAllocations) != 0);
  return std::move(*kernel);
}

/// Bytes handed out on the whole machine since boot.
std::uint64_t all_allocated() {
  std::istringstream lines(read_file("/proc/vmstat"));
  std::string name;
  std::uint64_t value = 0, pages = 0;
  while (lines >> name >> value)
    if (name.starts_with("pgalloc_")) pages += value;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// Takes that much memory, writes to each page, and gives it back.
void fill_memory(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) ::_exit(22);
  for (std::size_t i = 0; i < bytes; i += 4096) static_cast<volatile char*>(memory)[i] = 1;
  ::munmap(memory, bytes);
}

}  // namespace

TEST_CASE("allocated bytes are charged to whose task got them, and all of them are the kernel's") {
  Kernel kernel = open_counting();
  const Cgroup a = Cgroup::top("allocates");
  const Cgroup b = Cgroup::top("sleeps");
  REQUIRE(kernel.assign(a.fd(), a.id(), kA));
  REQUIRE(kernel.assign(b.fd(), b.id(), kB));
  const std::uint64_t theirs_then = all_allocated();
  const std::uint64_t then = kernel.node_values().allocated_bytes;
  const Worker sleeper(b.path(), -1, [] { ::pause(); });
  CHECK(Worker(a.path(), -1, [] {
          for (int i = 0; i < 8; ++i) fill_memory(64 * kMebibyte);
        }).join() == 0);
  const std::uint64_t ours = kernel.slot_values(kA).allocated_bytes;
  const std::uint64_t node = kernel.node_values().allocated_bytes - then;
  const std::uint64_t theirs = all_allocated() - theirs_then;
  INFO("its " << ours / kMebibyte << " MiB, all " << node / kMebibyte << " MiB, vmstat "
              << theirs / kMebibyte << " MiB");
  // Its own pages and those of its tables; what others get at the same time may be taken for its.
  CHECK(ours >= 500 * kMebibyte);
  CHECK(ours <= 600 * kMebibyte);
  CHECK(kernel.slot_values(kB).allocated_bytes <= 8 * kMebibyte);
  // The kernel counts for all at other moments than the tracepoint, and in batches per CPU.
  CHECK(static_cast<double>(node) == Approx(static_cast<double>(theirs)).epsilon(0.1));
  kernel.reset_slot(kA);
  CHECK(kernel.slot_values(kA).allocated_bytes < ours);
  CHECK(kernel.node_values().allocated_bytes >= then + ours);
}

TEST_CASE("nobody asked: no program runs at allocations") {
  auto kernel = Kernel::open(options_for());
  REQUIRE(kernel);
  CHECK((kernel->valid() & shm::kValidAllocations) == 0);
  for (const auto& program : kernel->programs())
    CHECK(std::string(program.name) != "page_allocated");
}
