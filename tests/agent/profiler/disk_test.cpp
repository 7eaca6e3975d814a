// SPDX-License-Identifier: Apache-2.0
// Disks by the kernel's files, where no program counts their requests.
#include <string>

#include "agent/profiler/disk_counters.hpp"
#include "agent/profiler/parse_stat.hpp"
#include "tests/agent/profiler/temp_dir.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::agent;
using optipod::test::TempDir;
namespace shm = optipod::shm;

namespace {

std::string line(const std::string& numbers, const std::string& name, int read, int written) {
  return "   " + numbers + " " + name + " 7 1 " + std::to_string(read) + " 3 8 2 " +
         std::to_string(written) + " 4 1 5 6 0 0 0 0 0 0\n";
}

}  // namespace

TEST_CASE("the lines of /proc/diskstats and of inflight") {
  const std::string text =
      line("8 0", "sda", 10, 20) + "8 x sdb 1\n\n8 1 sda1 1 2 3\n" + line("259 3", "nvme0n1", 1, 0);
  const auto disks = parse_diskstats(text);
  REQUIRE(disks.size() == 2);
  CHECK(disks[0].name == "sda");
  CHECK(disks[0].bytes[shm::kRead] == 5120);
  CHECK(disks[0].bytes[shm::kWrite] == 10240);
  CHECK(disks[1].major == 259);
  CHECK(disks[1].minor == 3);
  CHECK(parse_diskstats("").empty());
  REQUIRE(parse_inflight("       3       12\n"));
  CHECK((*parse_inflight("       3       12\n"))[shm::kWrite] == 12);
  for (const char* bad : {"", "3", "a b", "-1 2"}) CHECK_FALSE(parse_inflight(bad));
}

TEST_CASE("disks that had I/O have their bytes and what is on its way, and no latency") {
  const TempDir proc, sys;
  sys.write("block/sda/inflight", " 0 0\n");
  sys.write("block/cciss!c0d0/inflight", " 1 2\n");
  sys.make("block/idle");
  const auto show = [&](int read, int written) {
    proc.write("diskstats", line("8 0", "sda", read, written) + line("8 1", "sda1", read, written) +
                                line("104 0", "cciss/c0d0", 9, 9) + line("7 0", "idle", 4, 4));
  };
  show(10, 20);
  DiskCounters counters(true, proc.path(), sys.path());
  std::vector<shm::DeviceRecord> disks;
  counters.sample(disks);
  REQUIRE(disks.size() == 1);  // something is on its way to it
  CHECK(std::string(disks[0].name) == "cciss!c0d0");
  CHECK(disks[0].block.inflight[shm::kRead] == 1);
  CHECK(disks[0].block.inflight[shm::kWrite] == 2);
  show(14, 21);
  counters.sample(disks);
  REQUIRE(disks.size() == 2);
  CHECK(std::string(disks[0].name) == "sda");
  CHECK(disks[0].major == 8);
  CHECK(disks[0].valid == shm::kValidBlockBytes);
  CHECK(disks[0].block.bytes[shm::kRead] == 4 * 512);
  CHECK(disks[0].block.bytes[shm::kWrite] == 512);
  show(1, 1);  // never back
  counters.sample(disks);
  REQUIRE(disks.size() == 2);
  CHECK(disks[0].block.bytes[shm::kRead] == 4 * 512);
}

TEST_CASE("the disks of the machine are not those of a subtree") {
  const TempDir proc, sys;
  sys.write("block/sda/inflight", " 1 1\n");
  proc.write("diskstats", line("8 0", "sda", 1, 1));
  DiskCounters counters(false, proc.path(), sys.path());
  std::vector<shm::DeviceRecord> disks(1);
  counters.sample(disks);
  CHECK(disks.empty());
}
