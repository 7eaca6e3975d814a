// SPDX-License-Identifier: Apache-2.0
// What the memory controller's files say of a container, and of a node that is a subtree.
#include <string>

#include "agent/profiler/memory_sampler.hpp"
#include "agent/profiler/node_sampler.hpp"
#include "agent/profiler/parse_stat.hpp"
#include "tests/agent/profiler/temp_dir.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::agent;
using optipod::test::TempDir;
namespace shm = optipod::shm;

namespace {

std::string memory_stat(int faults, int refaults) {
  return "anon 1000\nfile 6000\nkernel 5\ninactive_anon 1\ninactive_file 4000\nactive_file 2000\n"
         "workingset_refault_anon 3\nworkingset_refault_file " +
         std::to_string(refaults) + "\npgfault " + std::to_string(faults) + "\npgmajfault 2\n";
}

void write_all(const TempDir& group, int faults, int refaults, int kills) {
  group.write("memory.stat", memory_stat(faults, refaults));
  group.write("memory.current", "7500\n");
  group.write("memory.max", "10000\n");
  group.write("memory.events", "low 0\nhigh 0\nmax 5\noom 4\noom_kill " + std::to_string(kills) +
                                   "\noom_group_kill 9\n");
}

constexpr std::uint64_t kAll = shm::kValidMemoryDetail | shm::kValidRefaults |
                               shm::kValidPageFaults | shm::kValidMemoryLimit | shm::kValidOomKills;

}  // namespace

TEST_CASE("memory.stat and memory.events") {
  const auto all = parse_memory_stat(memory_stat(12, 34));
  REQUIRE(all);
  CHECK(all->anon_bytes == 1000);
  CHECK(all->file_bytes == 6000);
  CHECK(all->inactive_file_bytes == 4000);
  REQUIRE(all->refaults);
  CHECK(all->refaults->anon == 3);
  CHECK(all->refaults->file == 34);
  REQUIRE(all->faults);
  CHECK(all->faults->minor == 10);
  CHECK(all->faults->major == 2);
  const auto old = parse_memory_stat("anon 1\nfile 2\ninactive_file 1\nworkingset_refault 3\n");
  REQUIRE(old);
  CHECK_FALSE(old->refaults);
  CHECK_FALSE(old->faults);
  for (const char* bad : {"", "anon 1\nfile 2\n", "anon x\nfile 2\ninactive_file 3\n"})
    CHECK_FALSE(parse_memory_stat(bad));
  CHECK(parse_oom_kills("oom 4\noom_kill 2\noom_group_kill 9\n") == 2u);
  CHECK_FALSE(parse_oom_kills("oom 4\n"));
  CHECK(working_set(10, 4) == 6);
  CHECK(working_set(4, 10) == 0);
}

TEST_CASE("a container's memory is read once in ten ticks, and stands until then") {
  const TempDir group;
  write_all(group, 100, 7, 1);
  shm::ContainerRecord record{};
  record.cgroup_id = 23;  // due at 3, 13 …
  MemorySampler sampler(group.path(), false);
  sampler.sample(0, record);  // the first time always
  CHECK(record.valid == kAll);
  CHECK(record.memory_use.anon_bytes == 1000);
  CHECK(record.memory_use.working_set_bytes == 3500);
  CHECK(record.memory_use.limit_bytes == 10'000);
  CHECK(record.memory_use.refaults_file == 0);  // from now on
  CHECK(record.memory.oom_kills == 0);

  write_all(group, 150, 9, 2);
  group.write("memory.max", "max\n");
  for (const std::uint64_t tick : {1u, 2u}) {
    record.valid = 0;
    sampler.sample(tick, record);
    CHECK(record.valid == kAll);
    CHECK(record.memory.oom_kills == 0);
  }
  record.valid = 0;
  sampler.sample(3, record);
  CHECK(record.valid == (kAll & ~std::uint64_t{shm::kValidMemoryLimit}));
  CHECK(record.memory.oom_kills == 1);
  CHECK(record.memory.page_faults[shm::kMinor] == 50);
  CHECK(record.memory_use.refaults_file == 2);
}

TEST_CASE("what programs have counted is not read from files; a new container counts from zero") {
  const TempDir group;
  write_all(group, 100, 7, 1);
  shm::ContainerRecord record{};
  record.valid = shm::kValidPageFaults | shm::kValidOomKills;
  record.memory.oom_kills = 55;
  record.memory.page_faults[shm::kMinor] = 66;
  MemorySampler sampler(group.path(), true);
  sampler.sample(0, record);
  CHECK(record.valid == kAll);
  CHECK(record.memory.oom_kills == 55);
  CHECK(record.memory.page_faults[shm::kMinor] == 66);
  CHECK(record.memory_use.refaults_file == 7);
}

TEST_CASE("without a memory controller nothing is said") {
  const TempDir group;
  shm::ContainerRecord record{};
  MemorySampler(group.path(), true).sample(0, record);
  CHECK(record.valid == 0);
}

TEST_CASE("a subtree's page cache is memory it can have back") {
  const TempDir dir;
  dir.write("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 90 kB\n");
  dir.write("cgroup/node/memory.current", "7500\n");
  dir.write("cgroup/node/memory.max", "10000\n");
  shm::NodeRecord node{};
  const CgroupRoot root{dir.path("cgroup"), "/node"};
  {
    NodeSampler sampler(root, {}, "n", dir.path("proc"), dir.path("sys"));
    sampler.sample(nullptr, node);
    CHECK(node.memory_total_bytes == 10'000);
    CHECK(node.memory_available_bytes == 2'500);  // all that is known
  }
  dir.write("cgroup/node/memory.stat", memory_stat(0, 0));
  NodeSampler sampler(root, {}, "n", dir.path("proc"), dir.path("sys"));
  sampler.sample(nullptr, node);
  CHECK((node.valid & shm::kValidMemory) != 0);
  CHECK(node.memory_available_bytes == 6'500);
}
