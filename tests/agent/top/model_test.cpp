// SPDX-License-Identifier: Apache-2.0
// Rates between two samples, their order, the history.
#include "agent/top/model.hpp"

#include <set>
#include <string>

#include "agent/top/histogram.hpp"
#include "tests/agent/top/fabricate.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::top;
using namespace optipod::top::test;

namespace {

std::vector<std::string> names(const Interval& interval, const Query& query) {
  std::vector<std::string> out;
  for (const std::size_t i : arrange(interval, query)) out.push_back(interval.containers[i].name);
  return out;
}

/// Two seconds of three containers; "busy" uses CPU, "waiting" waits, "idle" does neither.
Interval three() {
  auto before = sample(1, {container(1, "/busy"), container(2, "/waiting"), container(3, "/idle")});
  auto now = sample(2, before.tick.containers);
  now.tick.containers[0].cpu_time.usage_ns = kSecond;
  now.tick.containers[1].cpu.runqueue_wait.sum_ns = kSecond / 2;
  now.tick.containers[2].valid = 0;
  return interval_between(shared(std::move(before)), shared(std::move(now))).value();
}

}  // namespace

TEST_CASE("quantiles are of what was added, linear within a bucket") {
  shm::Histogram before{}, now{};
  CHECK_FALSE(quantile(added(before, now), 0.95).has_value());
  before.bucket[30] = now.bucket[30] = 1000;  // old events do not count
  now.bucket[20] = 100;                       // 2^19 < d <= 2^20 ns
  CHECK(quantile(added(before, now), 0.5).value() == Approx(1.5 * 524288e-9));
  CHECK(quantile(added(before, now), 1.0).value() == Approx(1048576e-9));
  now.bucket[21] = 100;
  CHECK(quantile(added(before, now), 0.75).value() == Approx((1048576 + 0.5 * 1048576) * 1e-9));
  now = before;
  now.bucket[31] = 5;  // above every bound: at least the last bound
  CHECK(quantile(added(before, now), 0.95).value() == Approx(1073741824e-9));
  before.bucket[30] = 2000;  // a counter that went back counts as nothing
  CHECK(events(added(before, now)) == 5);
}

TEST_CASE("rates are per second of the samples' own clock") {
  Sample before = sample(1), now = sample(3);  // two seconds
  auto& node = now.tick.node;
  node.cpu_time.usage_ns = 3 * kSecond;
  node.cpu.runqueue_wait.sum_ns = 5 * kSecond;
  node.cpu.switches[shm::kInvoluntary] = 20;
  node.pressure.waiting_ns[shm::kIo] = kSecond;
  const auto delta = interval_between(shared(before), shared(now));
  REQUIRE(delta.has_value());
  CHECK(delta->seconds == Approx(2));
  CHECK(node_value(*delta, "cpus_used").value() == Approx(1.5));
  CHECK(node_value(*delta, "cpu_used_ratio").value() == Approx(0.75));
  CHECK(node_value(*delta, "cpu_waiting_tasks").value() == Approx(2.5));
  CHECK(node_value(*delta, "switches_involuntary_per_second").value() == Approx(10));
  CHECK(node_value(*delta, "io_pressure_ratio").value() == Approx(0.5));
  // What the kernel does not tell is absent, not zero.
  CHECK_FALSE(node_value(*delta, "memory_pressure_ratio").has_value());
  CHECK_FALSE(node_value(*delta, "read_bytes_per_second").has_value());
  CHECK_FALSE(node_value(*delta, "memory_used_ratio").has_value());
}

TEST_CASE("samples out of order, of one moment or of two lives give nothing") {
  const auto a = shared(sample(1)), b = shared(sample(2)), other = shared(sample(2, {}, 8));
  CHECK(interval_between(a, b).has_value());
  CHECK_FALSE(interval_between(b, a).has_value());
  CHECK_FALSE(interval_between(a, a).has_value());
  CHECK_FALSE(interval_between(a, other).has_value());
  CHECK_FALSE(interval_between(nullptr, b).has_value());
}

TEST_CASE("what hurts most stands first; absent values stand last both ways") {
  const Interval interval = three();
  Query query;
  CHECK(names(interval, query) == std::vector<std::string>{"/waiting", "/busy", "/idle"});
  query.sort = signal("cpus_used");
  CHECK(names(interval, query) == std::vector<std::string>{"/busy", "/waiting", "/idle"});
  query.descending = false;
  CHECK(names(interval, query) == std::vector<std::string>{"/waiting", "/busy", "/idle"});
  query.sort = Query::kByName;
  CHECK(names(interval, query) == std::vector<std::string>{"/busy", "/idle", "/waiting"});
  query.descending = true;
  CHECK(names(interval, query) == std::vector<std::string>{"/waiting", "/idle", "/busy"});
}

TEST_CASE("a filter's words must all be there, in any case; !word must not") {
  CHECK(matches("default/Web-1/nginx", ""));
  CHECK(matches("default/Web-1/nginx", "web NGINX"));
  CHECK_FALSE(matches("default/Web-1/nginx", "web apache"));
  CHECK(matches("default/Web-1/nginx", "web !apache"));
  CHECK_FALSE(matches("default/Web-1/nginx", "!web"));
  CHECK(matches("anything", "! !"));
  Query query;
  query.filter = "i !idle";
  CHECK(names(three(), query) == std::vector<std::string>{"/waiting"});
}

TEST_CASE("a reused cgroup id is another container") {
  auto before = sample(1, {container(1, "/old")});
  auto now = sample(2, {container(1, "/new")});
  now.tick.containers[0].first_tick = 2;
  now.tick.containers[0].cpu.runqueue_wait.sum_ns = 900 * kSecond;
  CHECK(interval_between(shared(before), shared(now))->containers.empty());
}

TEST_CASE("what no row has is the rest of the node, never below zero") {
  auto before = sample(1, {container(7, "/a")});
  auto now = sample(2, before.tick.containers);
  now.tick.node.cpu_time.usage_ns = 2 * kSecond;
  now.tick.node.cpu.runqueue_wait.sum_ns = kSecond;
  now.tick.containers[0].cpu_time.usage_ns = kSecond / 2;
  now.tick.containers[0].cpu.runqueue_wait.sum_ns = 3 * kSecond;  // read a little later
  const auto delta = interval_between(shared(before), shared(now));
  CHECK(delta->rest[signal("cpus_used")].value() == Approx(1.5));
  CHECK(delta->rest[signal("cpu_waiting_tasks")].value() == 0);
  CHECK_FALSE(delta->rest[signal("cpu_wait_p95_seconds")].has_value());  // does not add up
}

TEST_CASE("disks are paired by number, and the node has their sum") {
  Sample before = sample(1), now = sample(2);
  for (auto* s : {&before, &now}) {
    s->tick.devices.resize(2);
    s->tick.devices[0].minor = 1;
    for (auto& d : s->tick.devices) d.valid = shm::kValidBlockIo | shm::kValidBlockBytes;
  }
  now.tick.devices[0].block.bytes[shm::kRead] = 1000;
  now.tick.devices[1].block.bytes[shm::kRead] = 24;
  now.tick.devices[1].block.inflight[shm::kWrite] = 3;
  const auto delta = interval_between(shared(before), shared(now));
  REQUIRE(delta->devices.size() == 2);
  CHECK(node_value(*delta, "read_bytes_per_second").value() == Approx(1024));
  CHECK(node_value(*delta, "inflight_requests").value() == Approx(3));
  const auto reads = find_signal(device_signals(), "read_bytes_per_second").value();
  CHECK(delta->devices[0].values[reads].value() == Approx(1000));
}

TEST_CASE("who takes whose CPU is told by name, the worst first") {
  auto before = sample(1, {container(1, "/noisy"), container(2, "/victim")});
  auto now = sample(3, before.tick.containers);  // two seconds
  const auto pair = [](std::uint64_t aggressor, std::uint64_t times, std::uint64_t taken_ns) {
    shm::NeighbourRecord r{};
    r.victim_cgroup_id = 2;
    r.aggressor_cgroup_id = aggressor;
    r.preemptions = times;
    r.taken_ns = taken_ns;
    return r;
  };
  before.tick.neighbours = {pair(0, 5, 100), pair(9, 4, 4)};
  now.tick.neighbours = {pair(0, 7, kSecond / 5 + 100), pair(9, 4, 4), pair(1, 100, kSecond)};
  CHECK_FALSE(interval_between(shared(before), shared(now))->knows_neighbours);
  before.tick.node.valid |= shm::kValidNeighbours;
  now.tick.node.valid |= shm::kValidNeighbours;
  const auto delta = interval_between(shared(before), shared(now));
  REQUIRE(delta->knows_neighbours);
  REQUIRE(delta->neighbours.size() == 2);  // one pair did nothing
  CHECK(delta->neighbours[0].aggressor_name == "/noisy");
  CHECK(delta->neighbours[0].victim_name == "/victim");
  CHECK(delta->neighbours[0].preemptions == Approx(50));
  CHECK(delta->neighbours[0].taken == Approx(0.5));
  CHECK(delta->neighbours[1].aggressor_name == "(everything else)");
  CHECK(delta->neighbours[1].taken == Approx(0.1));
}

TEST_CASE("what its own limit holds back does not count as hurt") {
  auto before = sample(1, {container(1, "/limited")});
  auto now = sample(2, before.tick.containers);
  now.tick.containers[0].cpu.runqueue_wait.sum_ns = kSecond;
  now.tick.containers[0].scheduler.throttled_wait_ns = kSecond * 3 / 4;
  const auto hurt = [&] {
    return interval_between(shared(before), shared(now))->containers[0].values[signal("hurt")];
  };
  CHECK(hurt().value() == Approx(1));  // it is not known
  for (auto* s : {&before, &now}) s->tick.containers[0].valid |= shm::kValidThrottledWait;
  CHECK(hurt().value() == Approx(0.25));
}

TEST_CASE("disks without latency have their bytes all the same") {
  Sample before = sample(1), now = sample(2);
  for (auto* s : {&before, &now}) {
    s->tick.devices.resize(1);
    s->tick.devices[0].valid = shm::kValidBlockBytes;
  }
  now.tick.devices[0].block.bytes[shm::kWrite] = 512;
  const auto delta = interval_between(shared(before), shared(now));
  CHECK(node_value(*delta, "write_bytes_per_second").value() == Approx(512));
  CHECK_FALSE(node_value(*delta, "block_p95_seconds").has_value());
}

TEST_CASE("memory, files and network of containers, of the node, and of the rest") {
  auto before = sample(1, {container(1, "/a")});
  auto now = sample(3, before.tick.containers);  // two seconds
  const std::uint64_t bits = shm::kValidReclaimStall | shm::kValidOomKills | shm::kValidPageFaults |
                             shm::kValidFiles | shm::kValidTcp | shm::kValidTcpRetransmits |
                             shm::kValidMemoryDetail;
  const auto fill = [](auto& record, std::uint64_t times) {
    record.memory.reclaim_stall[shm::kDirect].sum_ns = times * kSecond;
    record.memory.reclaim_stall[shm::kMemcg].sum_ns = times * kSecond;
    record.memory.oom_kills = times;
    record.memory.page_faults[shm::kMajor] = times * 20;
    record.files.calls[shm::kRead] = times * 100;
    record.files.bytes[shm::kWrite] = times * 4096;
    record.tcp.bytes[shm::kSent] = times * 1000;
    record.tcp.rtt.bucket[20] = times;
    record.tcp.retransmitted_segments = times * 3;
  };
  fill(now.tick.containers[0], 2);
  fill(now.tick.node, 6);
  now.tick.containers[0].memory_use.working_set_bytes = 750;
  now.tick.containers[0].memory_use.limit_bytes = 1000;
  const auto value = [&](const char* key) {
    return interval_between(shared(before), shared(now))->containers[0].values[signal(key)];
  };
  for (const char* key : {"reclaim_stall_tasks", "oom_kills_per_second", "tcp_rtt_p95_seconds",
                          "filesystem_reads_per_second", "working_set_bytes"})
    CHECK_FALSE(value(key).has_value());
  for (auto* s : {&before, &now}) {
    s->tick.node.valid |= bits;
    s->tick.containers[0].valid |= bits;
  }
  CHECK(value("reclaim_stall_tasks").value() == Approx(2));
  CHECK(value("oom_kills_per_second").value() == Approx(1));
  CHECK(value("page_faults_major_per_second").value() == Approx(20));
  CHECK(value("filesystem_reads_per_second").value() == Approx(100));
  CHECK(value("filesystem_written_bytes_per_second").value() == Approx(4096));
  CHECK(value("tcp_sent_bytes_per_second").value() == Approx(1000));
  CHECK(value("tcp_retransmits_per_second").value() == Approx(3));
  CHECK(value("tcp_rtt_p95_seconds").value() > 0.5e-3);
  CHECK(value("working_set_bytes").value() == 750);
  CHECK_FALSE(value("memory_limit_ratio").has_value());  // no limit is known
  for (auto* s : {&before, &now}) s->tick.containers[0].valid |= shm::kValidMemoryLimit;
  CHECK(value("memory_limit_ratio").value() == Approx(0.75));
  const std::uint64_t more =
      shm::kValidRefaults | shm::kValidAllocations | shm::kValidFarMigrations;
  now.tick.containers[0].memory_use.refaults_anon = 4;
  now.tick.containers[0].memory_use.refaults_file = 8;
  now.tick.containers[0].memory_allocated_bytes = 8192;
  now.tick.containers[0].far_migrations[shm::kToOtherCache] = 6;
  now.tick.containers[0].far_migrations[shm::kToOtherNode] = 2;
  now.tick.containers[0].cpu_time.user_ns = kSecond / 2;
  now.tick.node.refaults_file = 30;
  for (const char* key :
       {"refaults_per_second", "allocated_bytes_per_second", "far_migrations_per_second"})
    CHECK_FALSE(value(key).has_value());
  for (auto* s : {&before, &now}) {
    s->tick.node.valid |= more;
    s->tick.containers[0].valid |= more;
  }
  CHECK(value("refaults_per_second").value() == Approx(6));
  CHECK(value("allocated_bytes_per_second").value() == Approx(4096));
  CHECK(value("far_migrations_per_second").value() == Approx(4));
  CHECK(value("cpus_user").value() == Approx(0.25));
  CHECK(value("cpus_system").value() == 0);
  const auto delta = interval_between(shared(before), shared(now));
  CHECK(node_value(*delta, "oom_kills_per_second").value() == Approx(3));
  CHECK(node_value(*delta, "refaults_per_second").value() == Approx(15));
  CHECK(node_value(*delta, "tcp_retransmits_all_per_second").value() == Approx(9));
  CHECK(delta->rest[signal("filesystem_reads_per_second")].value() == Approx(200));
}

TEST_CASE("cycles and misses are told by instruction, and not between windows") {
  auto before = sample(1, {container(1, "/a")});
  auto now = sample(2, before.tick.containers);
  auto& hardware = now.tick.containers[0].hardware;
  hardware.cycles = 6000;
  hardware.instructions = 4000;
  hardware.cache_misses = 20;
  const auto value = [&](const char* key) {
    return interval_between(shared(before), shared(now))->containers[0].values[signal(key)];
  };
  CHECK_FALSE(value("cycles_per_instruction").has_value());
  for (auto* s : {&before, &now}) s->tick.containers[0].valid |= shm::kValidHardwareCounters;
  CHECK(value("cycles_per_instruction").value() == Approx(1.5));
  CHECK_FALSE(value("llc_misses_per_1000_instructions").has_value());
  for (auto* s : {&before, &now}) s->tick.containers[0].valid |= shm::kValidCacheMisses;
  CHECK(value("llc_misses_per_1000_instructions").value() == Approx(5));
  before.tick.containers[0].hardware = hardware;
  CHECK_FALSE(value("cycles_per_instruction").has_value());
}

TEST_CASE("the node's interfaces, drops and interrupts") {
  Sample before = sample(1), now = sample(2);
  const auto node = [&](const char* key) {
    return node_value(*interval_between(shared(before), shared(now)), key);
  };
  auto& n = now.tick.node;
  n.interfaces[shm::kPhysical].bytes[shm::kReceived] = 700;
  n.interfaces[shm::kVirtual].bytes[shm::kReceived] = 9000;
  n.interfaces[shm::kPhysical].errors[shm::kSent] = 2;
  n.interfaces[shm::kPhysical].drops[shm::kReceived] = 3;
  n.drop_count = 2;
  n.drops[0].packets = 10;
  n.drops[1].packets = 4;
  n.softirq_ns[0] = n.softirq_ns[9] = kSecond / 8;
  n.hardirq_ns = kSecond / 2;
  for (const std::size_t bucket : {0u, 3u, 5u})
    n.queue_lengths.looks[bucket] = bucket == 5 ? 6 : 47;
  for (const char* key : {"network_received_bytes_per_second", "packet_drops_per_second",
                          "softirq_cpus", "hardirq_cpus", "runqueue_length_p95"})
    CHECK_FALSE(node(key).has_value());
  for (auto* s : {&before, &now})
    s->tick.node.valid |= shm::kValidInterfaces | shm::kValidPacketDrops | shm::kValidSoftirq |
                          shm::kValidHardirq | shm::kValidQueueLengths;
  CHECK(node("network_received_bytes_per_second").value() == Approx(700));
  CHECK(node("network_lost_per_second").value() == Approx(5));
  CHECK(node("packet_drops_per_second").value() == Approx(14));
  CHECK(node("softirq_cpus").value() == Approx(0.25));
  CHECK(node("hardirq_cpus").value() == Approx(0.5));
  CHECK(node("runqueue_length_p95").value() == 16);
  before.tick.node.queue_lengths.looks[5] = 6;
  CHECK(node("runqueue_length_p95").value() == 4);
  before.tick.node.queue_lengths = n.queue_lengths;
  CHECK_FALSE(node("runqueue_length_p95").has_value());
}

TEST_CASE("keys of signals are unique, and their titles fit their columns") {
  const auto check = [](auto signals) {
    std::set<std::string> keys, titles;
    for (const auto& signal : signals) {
      CHECK(keys.insert(signal.key).second);
      CHECK(titles.insert(signal.title).second);
      CHECK(width(signal.title) <= 9);
      CHECK(signal.warn <= signal.bad);
    }
  };
  check(container_signals());
  check(node_signals());
  check(device_signals());
}

TEST_CASE("the history keeps the newest samples, by number and by size") {
  History history(3, 1u << 30);
  CHECK(history.at(0) == nullptr);
  for (std::uint64_t i = 0; i < 10; ++i) history.add(sample(i));
  CHECK(history.begin() == 7);
  CHECK(history.end() == 10);
  CHECK(history.at(6) == nullptr);
  CHECK(history.at(10) == nullptr);
  CHECK(history.at(9)->tick.node.tick == 9);
  CHECK(interval_at(history, 8).has_value());
  CHECK_FALSE(interval_at(history, 7).has_value());  // the one before is gone

  History small(1000, 3 * sizeof(Sample));
  for (std::uint64_t i = 0; i < 10; ++i) small.add(sample(i, {container(1, "/c")}));
  CHECK(small.end() - small.begin() == 2);
}

TEST_CASE("trends and windows reach back through one life only") {
  History history;
  for (std::uint64_t i = 0; i < 5; ++i) history.add(sample(i, {container(1, "/c")}, 1));
  for (std::uint64_t i = 0; i < 3; ++i) history.add(sample(i, {container(1, "/c")}, 2));
  Scene scene;
  look_at(scene, history, history.end() - 1, Identity{1, 0});
  REQUIRE(scene.node_trend.size() == 7);
  CHECK(scene.node_trend[4].empty());  // from one life to the next
  CHECK_FALSE(scene.node_trend[3].empty());
  CHECK(scene.node_window.seconds == Approx(2));
  REQUIRE(scene.zoom.has_value());
  CHECK(scene.zoom->window.seconds == Approx(2));
  CHECK_FALSE(scene.zoom->trend.back().empty());
  look_at(scene, history, history.begin(), Identity{9, 9});
  CHECK_FALSE(scene.interval.has_value());
  CHECK(scene.zoom->window.before == nullptr);
}
