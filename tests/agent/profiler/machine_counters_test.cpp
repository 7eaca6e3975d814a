// SPDX-License-Identifier: Apache-2.0
// What is read of the machine's own counters, and when they are not the node's.
#include "agent/profiler/machine_counters.hpp"

#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "agent/profiler/parse_stat.hpp"
#include "tests/agent/profiler/temp_dir.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::agent;
using optipod::test::TempDir;
namespace shm = optipod::shm;

namespace {

constexpr std::uint64_t kVmstat =
    shm::kValidVmEvents | shm::kValidPageFaults | shm::kValidOomKills | shm::kValidRefaults;

const std::string kIp = "Ip: Forwarding DefaultTTL\nIp: 1 64\n";

std::string snmp(int sent, int again) {
  return kIp + "Tcp: RtoAlgorithm MaxConn InSegs OutSegs RetransSegs InErrs\nTcp: 1 -1 9 " +
         std::to_string(sent) + " " + std::to_string(again) + " 0\nUdp: InDatagrams\nUdp: 3\n";
}

/// Like the kernel's, whose file is longer than a page where there are many NUMA nodes.
std::string vmstat(int faults, int dma, int normal) {
  return std::string(300, 'x') + " 1\npgalloc_dma " + std::to_string(dma) + "\npgalloc_normal " +
         std::to_string(normal) + "\n" + std::string(9'000, 'y') + " 2\npgfault " +
         std::to_string(faults) + "\npgmajfault " + std::to_string(faults / 10) + "\noom_kill " +
         std::to_string(faults / 50) + "\nworkingset_refault_anon " + std::to_string(faults / 25) +
         "\nworkingset_refault_file " + std::to_string(faults / 5) + "\n";
}

shm::NodeRecord sample(MachineCounters& counters) {
  shm::NodeRecord node{};
  counters.sample(node);
  return node;
}

std::string source(const MachineCounters& counters, std::string_view feature) {
  for (const auto& f : counters.features()) {
    if (feature == f.name) return std::string(f.enabled != 0 ? "" : "not: ") + f.source;
  }
  return "missing";
}

}  // namespace

TEST_CASE("vmstat") {
  const auto all = parse_vmstat("nr_free 5\npgalloc_dma 1\npgalloc_normal 20\npgfault 300\n");
  REQUIRE(all);
  CHECK(all->page_faults == 300);
  CHECK(all->pages_allocated == 21);
  for (const char* bad : {"", "pgfault 1\n", "pgalloc_dma 1\n", "pgalloc_dma x\npgfault 1\n",
                          "pgalloc_dma 1\npgfault -1\n"}) {
    CHECK_FALSE(parse_vmstat(bad));
  }
}

TEST_CASE("a kernel that does not count kills or major faults says nothing of them") {
  const TempDir proc;
  proc.write("vmstat", "pgalloc_dma 1\npgfault 300\n");
  MachineCounters counters(true, proc.path());
  CHECK(sample(counters).valid == shm::kValidVmEvents);
}

TEST_CASE("the Tcp lines of snmp") {
  const auto tcp = parse_snmp_tcp(snmp(200, 3));
  REQUIRE(tcp);
  CHECK(tcp->sent_first == 200);
  CHECK(tcp->retransmitted == 3);
  for (const char* bad : {"", "Tcp: OutSegs RetransSegs\n", "Tcp: OutSegs\nTcp: 1\n",
                          "Tcp: OutSegs RetransSegs\nTcp: 1\n", "Tcp: OutSegs\nUdp: 1\n"}) {
    CHECK_FALSE(parse_snmp_tcp(bad));
  }
}

TEST_CASE("a whole machine counts from its first sample on, and never back") {
  const TempDir proc;
  proc.write("vmstat", vmstat(1'000, 10, 500));
  proc.write("net/snmp", snmp(100, 5));
  proc.write("sys/net/core/netdev_budget", "300\n");
  MachineCounters counters(true, proc.path());
  CHECK(source(counters, "vm_events") == "file");
  CHECK(source(counters, "tcp_segments") == "file");
  auto node = sample(counters);
  CHECK(node.valid == (kVmstat | shm::kValidTcpSegments));
  CHECK(node.page_faults == 0);
  CHECK(node.tcp_sent_segments == 0);

  proc.write("vmstat", vmstat(1'250, 11, 507));
  proc.write("net/snmp", snmp(140, 7));
  node = sample(counters);
  CHECK(node.page_faults == 250);
  CHECK(node.memory.page_faults[shm::kMajor] == 25);
  CHECK(node.memory.page_faults[shm::kMinor] == 225);
  CHECK(node.memory.oom_kills == 5);
  CHECK(node.refaults_anon == 10);
  CHECK(node.refaults_file == 50);
  CHECK(node.memory_allocated_bytes == 8u * static_cast<unsigned>(::sysconf(_SC_PAGESIZE)));
  CHECK(node.tcp_sent_segments == 42);  // 40 for the first time, 2 again
  CHECK(node.tcp_retransmitted_segments == 2);

  proc.write("vmstat", vmstat(1, 1, 1));
  CHECK(sample(counters).page_faults == 250);
  proc.write("vmstat", "broken");
  CHECK(sample(counters).valid == shm::kValidTcpSegments);
}

TEST_CASE("a subtree of the machine has none of them") {
  const TempDir proc;
  proc.write("vmstat", vmstat(1'000, 10, 500));
  proc.write("net/snmp", snmp(100, 5));
  proc.write("sys/net/core/netdev_budget", "300\n");
  MachineCounters counters(false, proc.path());
  CHECK(sample(counters).valid == 0);
  CHECK(source(counters, "vm_events") == "not: only of a whole machine");
  CHECK(source(counters, "tcp_segments") == "not: only of a whole machine");
}

TEST_CASE("a container's own network is not the host's") {
  const TempDir proc;
  proc.write("vmstat", vmstat(1'000, 10, 500));
  proc.write("net/snmp", snmp(100, 5));    // the agent's own namespace
  proc.write("1/net/snmp", snmp(900, 1));  // that of process 1
  proc.make("self/ns");
  const std::string link = proc.path("self/ns/pid");
  std::filesystem::create_symlink("pid:[4026532201]", link);
  {
    MachineCounters counters(true, proc.path());
    CHECK(sample(counters).valid == kVmstat);
    CHECK(source(counters, "tcp_segments") == "not: needs hostNetwork or hostPID");
  }
  std::filesystem::remove(link);
  std::filesystem::create_symlink("pid:[4026531836]", link);  // the host's processes
  MachineCounters counters(true, proc.path());
  sample(counters);
  proc.write("1/net/snmp", snmp(910, 1));
  CHECK(sample(counters).tcp_sent_segments == 10);
}
