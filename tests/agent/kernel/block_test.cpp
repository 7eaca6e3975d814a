// SPDX-License-Identifier: Apache-2.0
//
// Block I/O against /proc/diskstats: direct I/O on a file of a real disk.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <sstream>

#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"
#include "tests/agent/kernel/disk_file.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

struct DiskStat {
  std::uint64_t bytes[2]{};
  std::uint64_t inflight = 0;
};

DiskStat diskstat(unsigned major, unsigned minor) {
  std::istringstream lines(read_file("/proc/diskstats"));
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    unsigned found_major = 0;
    unsigned found_minor = 0;
    std::string name;
    std::uint64_t n[9]{};
    words >> found_major >> found_minor >> name;
    for (std::uint64_t& value : n) words >> value;
    if (found_major == major && found_minor == minor)
      return {.bytes = {n[2] * 512, n[6] * 512}, .inflight = n[8]};
  }
  throw std::runtime_error("the disk is not in /proc/diskstats");
}

shm::BlockStats disk_of(const Kernel& kernel, const DiskFile& file) {
  for (const Device& d : kernel.devices())
    if (d.major == file.disk_major() && d.minor == file.disk_minor()) return d.block;
  return {};
}

/// What the programs are on this kernel and may be on older ones.
std::vector<std::pair<std::string, kernel::Probes>> variants() {
  std::vector<std::pair<std::string, kernel::Probes>> all;
  kernel::Probes probes = kernel::probe(options_for());
  REQUIRE(probes.block_rq_merge);  // Linux 5.14
  probes.io_controller = false;    // charged to the submitter; the bio's cgroup is the last test's
  if (probes.block_io_start) {
    REQUIRE(kernel::plan(probes).block == kernel::Plan::BlockStart::kIoStart);
    all.emplace_back("block_io_start", probes);
  }
  probes.block_io_start = false;
  REQUIRE(kernel::plan(probes).block == kernel::Plan::BlockStart::kInsert);
  all.emplace_back("block_rq_insert", probes);
  probes.block_rq_merge = false;
  REQUIRE(kernel::plan(probes).block == kernel::Plan::BlockStart::kIssue);
  all.emplace_back("block_rq_issue", probes);
  return all;
}

/// Whether nothing else was in the way: no other request on the disk, not pid 1 on a CPU. Then the
/// count is exact.
bool compare(const Kernel& kernel, const DiskFile& file) {
  const auto stat = [&file] { return diskstat(file.disk_major(), file.disk_minor()); };
  // What was on its way when we attached is not ours: begin when the disk is at rest.
  for (int i = 0; i < 1000 && stat().inflight > 0; ++i) sleep_for(5ms);
  const InitWatch init;
  const DiskStat a1 = stat();
  const shm::BlockStats then = disk_of(kernel, file);
  const DiskStat a2 = stat();
  direct_io(file.path(), true, true);
  const DiskStat b1 = stat();
  const shm::BlockStats now = disk_of(kernel, file);
  const DiskStat b2 = stat();
  if (a1.inflight + a2.inflight + b1.inflight + b2.inflight > 0 || init.ran()) return false;
  bool alone = true;
  for (const std::size_t op : {shm::kRead, shm::kWrite}) {
    const std::uint64_t ours = now.bytes[op] - then.bytes[op];
    CHECK(ours >= b1.bytes[op] - a2.bytes[op]);
    CHECK(ours <= b2.bytes[op] - a1.bytes[op]);
    CHECK(ours >= kBytes);
    alone = alone && a1.bytes[op] == a2.bytes[op] && b1.bytes[op] == b2.bytes[op];
  }
  if (!alone) return false;
  for (const std::size_t op : {shm::kRead, shm::kWrite})
    CHECK(now.bytes[op] - then.bytes[op] == b1.bytes[op] - a1.bytes[op]);
  return true;
}

}  // namespace

TEST_CASE("bytes per disk are /proc/diskstats'") {
  const DiskFile file;
  for (const auto& [name, probes] : variants()) {
    INFO(name);
    bool compared = false;
    const auto kernel = kernel::open(options_for(), probes);
    REQUIRE(kernel);
    REQUIRE((kernel->valid() & shm::kValidBlockIo) != 0);
    for (int tries = 0; tries < 200 && !compared; ++tries) compared = compare(*kernel, file);
    CHECK(compared);
  }
}

namespace {

/// One cgroup writes a file inside the agent's root, then another outside.
struct Charged {
  shm::BlockStats mine, idle, node, disk;         // when the first had written
  double took_ns = 0;                             // the first
  shm::BlockStats outside, node_then, disk_then;  // when the other had
  shm::BlockStats disk_before;
  shm::BlockStats reset, node_at_last;  // when the first one's slot was reset
};

std::optional<Charged> charge(const DiskFile& file, const kernel::Probes& probes) {
  Charged is;
  const Cgroup root = Cgroup::top("block");
  const Cgroup group = root.child("a");
  const Cgroup idle = root.child("b");
  const Cgroup other = Cgroup::top("block-outside");
  auto kernel = kernel::open(options_for(root.from_mount()), probes);
  REQUIRE(kernel);
  REQUIRE(kernel->assign(group.fd(), group.id(), kFirstSlot));
  REQUIRE(kernel->assign(idle.fd(), idle.id(), kFirstSlot + 1));
  const InitWatch init;
  is.disk_before = disk_of(*kernel, file);
  const std::uint64_t begin = now_ns();
  REQUIRE(Worker(group.path(), -1, [&] { direct_io(file.path(), false, true); }).join() == 0);
  is.took_ns = static_cast<double>(now_ns() - begin);
  is.mine = kernel->slot_values(kFirstSlot).block;
  is.idle = kernel->slot_values(kFirstSlot + 1).block;
  is.node = kernel->node_values().block;
  is.disk = disk_of(*kernel, file);
  REQUIRE(Worker(other.path(), -1, [&] { direct_io(file.path(), false, true); }).join() == 0);
  is.outside = kernel->slot_values(kOutside).block;
  is.node_then = kernel->node_values().block;
  is.disk_then = disk_of(*kernel, file);
  kernel->reset_slot(kFirstSlot);
  is.reset = kernel->slot_values(kFirstSlot).block;
  is.node_at_last = kernel->node_values().block;
  if (init.ran()) return std::nullopt;
  return is;
}

}  // namespace

TEST_CASE("block I/O is charged to the cgroup that submits it, and takes as long as it takes") {
  const DiskFile file;
  for (const auto& variant : variants()) {
    INFO(variant.first);
    const Charged is = undisturbed([&] { return charge(file, variant.second); });
    CHECK(is.disk_before.bytes[shm::kWrite] == 0);
    CHECK(is.mine.bytes[shm::kWrite] == kBytes);
    CHECK(is.mine.bytes[shm::kRead] == 0);
    CHECK(events(is.mine.latency[shm::kWrite]) >= kBlocks);
    // One request at a time: together they fit into the time, and none is faster than a disk can
    // be.
    const auto sum = static_cast<double>(is.mine.latency[shm::kWrite].sum_ns);
    CHECK(sum < is.took_ns);
    CHECK(sum > 2000.0 * kBlocks);
    CHECK(is.mine.inflight[shm::kWrite] == 0);
    CHECK(is.idle.bytes[shm::kWrite] == 0);
    // The node has it, and its disk; what others do is not the node's.
    CHECK(is.node.bytes[shm::kWrite] == kBytes);
    CHECK(is.disk.bytes[shm::kWrite] == kBytes);
    CHECK(is.outside.bytes[shm::kWrite] >= kBytes);
    CHECK(is.node_then.bytes[shm::kWrite] == kBytes);
    CHECK(is.disk_then.bytes[shm::kWrite] == kBytes);
    CHECK(is.reset.bytes[shm::kWrite] == 0);
    CHECK(is.reset.inflight[shm::kWrite] == 0);
    CHECK(is.node_at_last.bytes[shm::kWrite] == kBytes);
  }
}

TEST_CASE("block I/O is charged to the bio's cgroup where io is the agent's controller") {
  const auto mount = cgroup1_mount("blkio");
  const DiskFile file;
  kernel::Probes probes = kernel::probe(options_for());
  probes.io_controller = true;
  REQUIRE(kernel::plan(probes).charge_bio);
  const shm::BlockStats mine = undisturbed([&]() -> std::optional<shm::BlockStats> {
    auto kernel = kernel::open(options_for(), probes);
    REQUIRE(kernel);
    REQUIRE(kernel->diagnostics().empty());
    REQUIRE((kernel->valid() & shm::kValidBlockIo) != 0);
    // On a hybrid host bios belong to v1's blkio hierarchy, elsewhere to v2: either way it is the
    // bio's cgroup whose id is looked up, not the task's.
    const Cgroup group =
        mount ? Cgroup(*mount + "/optipod-test-" + std::to_string(::getpid())) : Cgroup::top("bio");
    REQUIRE(kernel->assign(group.fd(), group.id(), kFirstSlot));
    const InitWatch init;
    REQUIRE(Worker(group.path(), -1, [&] { direct_io(file.path(), true, true); }).join() == 0);
    if (init.ran()) return std::nullopt;
    return kernel->slot_values(kFirstSlot).block;
  });
  CHECK(mine.bytes[shm::kWrite] == kBytes);
  CHECK(mine.bytes[shm::kRead] == kBytes);
}
