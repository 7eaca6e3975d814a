// SPDX-License-Identifier: Apache-2.0
// The node's network: what interfaces carried, by kind, and what the kernel dropped, by reason.
#include <string>
#include <string_view>

#include "agent/profiler/interface_counters.hpp"
#include "agent/profiler/packet_drops.hpp"
#include "agent/profiler/parse_stat.hpp"
#include "tests/agent/profiler/temp_dir.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::agent;
using optipod::test::TempDir;
namespace shm = optipod::shm;

namespace {

const std::string kHead =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop "
    "fifo colls carrier compressed\n";

/// The kernel's line of an interface that received `n` bytes and so on.
std::string line(const std::string& name, int n) {
  std::string text = "  " + name + ":";
  for (const int times : {10, 8, 2, 4, 0, 0, 0, 0, 9, 7, 1, 3, 0, 0, 0, 0})
    text += " " + std::to_string(times * n);
  return text + "\n";
}

class Host {
 public:
  Host() {
    proc_.write("sys/net/core/netdev_budget", "300\n");
    sys_.make("class/net/eth0/device");
    sys_.make("class/net/veth1");
  }
  void show(const std::string& lines) { proc_.write("net/dev", kHead + lines); }
  void enter_a_container() { std::filesystem::remove(proc_.path("sys/net/core/netdev_budget")); }
  [[nodiscard]] InterfaceCounters counters(bool whole_machine = true) const {
    return InterfaceCounters(whole_machine, proc_.path(), sys_.path());
  }

 private:
  TempDir proc_, sys_;
};

shm::NodeRecord sample(InterfaceCounters& counters) {
  shm::NodeRecord node{};
  counters.sample(node);
  return node;
}

}  // namespace

TEST_CASE("the lines of /proc/net/dev") {
  const std::string text = kHead + line("eth0", 1) + line("a.b-c_d", 100);
  const auto devices = parse_net_dev(text);
  REQUIRE(devices);
  REQUIRE(devices->size() == 2);
  CHECK((*devices)[0].name == "eth0");
  const shm::InterfaceStats& counts = (*devices)[1].counts;
  CHECK(counts.bytes[shm::kReceived] == 1000);
  CHECK(counts.bytes[shm::kSent] == 900);
  CHECK(counts.packets[shm::kReceived] == 800);
  CHECK(counts.packets[shm::kSent] == 700);
  CHECK(counts.errors[shm::kReceived] == 200);
  CHECK(counts.errors[shm::kSent] == 100);
  CHECK(counts.drops[shm::kReceived] == 400);
  CHECK(counts.drops[shm::kSent] == 300);
  CHECK_FALSE(parse_net_dev(""));
  CHECK_FALSE(parse_net_dev(line("eth0", 1)));
  const std::string odd = kHead + "no colon\n: 1 2\n eth0: 1 2 x\n" + line("eth1", 1) + "eth2: 1";
  const auto rest = parse_net_dev(odd);
  REQUIRE(rest);
  REQUIRE(rest->size() == 1);
  CHECK((*rest)[0].name == "eth1");
}

TEST_CASE("interfaces count from the first look on, by kind, without the loopback") {
  Host host;
  host.show(line("lo", 50) + line("eth0", 100) + line("veth1", 7));
  InterfaceCounters counters = host.counters();
  CHECK(std::string(counters.feature().source) == "file");
  auto node = sample(counters);
  CHECK(node.valid == shm::kValidInterfaces);
  CHECK(node.interfaces[shm::kPhysical].bytes[shm::kReceived] == 0);
  host.show(line("lo", 90) + line("eth0", 103) + line("veth1", 8));
  node = sample(counters);
  CHECK(node.interfaces[shm::kPhysical].bytes[shm::kReceived] == 30);
  CHECK(node.interfaces[shm::kPhysical].packets[shm::kSent] == 21);
  CHECK(node.interfaces[shm::kPhysical].errors[shm::kReceived] == 6);
  CHECK(node.interfaces[shm::kVirtual].bytes[shm::kReceived] == 10);
  CHECK(node.interfaces[shm::kVirtual].drops[shm::kSent] == 3);
}

TEST_CASE("interfaces that come count whole, those that go take nothing back") {
  Host host;
  host.show(line("eth0", 100));
  InterfaceCounters counters = host.counters();
  sample(counters);
  host.show(line("eth0", 100) + line("veth9", 5));
  const auto bytes = [&] { return sample(counters).interfaces[shm::kVirtual].bytes[shm::kSent]; };
  CHECK(bytes() == 45);
  host.show(line("eth0", 100));
  CHECK(bytes() == 45);
  host.show(line("eth0", 100) + line("veth9", 2));  // another one of the same name
  CHECK(bytes() == 63);
  host.show("");
  CHECK(bytes() == 63);
}

TEST_CASE("what is not the host's, or not a whole machine's, is absent") {
  Host host;
  host.show(line("eth0", 1));
  InterfaceCounters part = host.counters(false);
  CHECK(sample(part).valid == 0);
  CHECK(std::string(part.feature().source) == "only of a whole machine");
  host.enter_a_container();
  InterfaceCounters inside = host.counters();
  CHECK(sample(inside).valid == 0);
  CHECK(std::string(inside.feature().source) == "needs hostNetwork");
  CHECK(inside.feature().enabled == 0);
}

TEST_CASE("a file that cannot be read is absent, and no reset") {
  Host host;
  InterfaceCounters counters = host.counters();
  CHECK(sample(counters).valid == 0);
  CHECK(std::string(counters.feature().source) == "no /proc/net/dev readable");
  host.show(line("eth0", 1));
  CHECK(sample(counters).valid == shm::kValidInterfaces);
}

TEST_CASE("a reason keeps its place, and those without one are told together") {
  PacketDrops drops;
  shm::NodeRecord node{};
  drops.tell({}, node);
  CHECK(node.drop_count == 0);
  std::vector<DropCount> counts = {{"no_socket", 3}};
  drops.tell(counts, node);
  counts.insert(counts.begin(), {"netfilter_drop", 1});
  drops.tell(counts, node);
  REQUIRE(node.drop_count == 2);
  CHECK(std::string(node.drops[0].reason) == "no_socket");
  CHECK(node.drops[0].packets == 3);
  CHECK(std::string(node.drops[1].reason) == "netfilter_drop");
  for (int i = 0; i < 100; ++i) counts.push_back({"reason_" + std::to_string(i), 1});
  counts.push_back({kOtherDropReason, 5});
  for (int again = 0; again < 2; ++again) {
    drops.tell(counts, node);
    REQUIRE(node.drop_count == shm::kDropReasonsKept);
    std::uint64_t sum = 0;
    for (const auto& drop : node.drops) sum += drop.packets;
    CHECK(sum == 3 + 1 + 100 + 5);
    CHECK(std::string(node.drops[shm::kDropReasonsKept - 1].reason) == kOtherDropReason);
    CHECK(node.drops[0].packets == 3);
  }
}
