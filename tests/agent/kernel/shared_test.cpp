// SPDX-License-Identifier: Apache-2.0
//
// What eBPF programs and the agent compute alike, compiled natively; and the agent's own
// arithmetic.
#include "bpf/shared.h"

#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "agent/profiler/kernel/cputime.hpp"
#include "agent/profiler/kernel/slot_table.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent::kernel;

TEST_CASE("a bucket's upper bound is inclusive") {
  CHECK(bpf::bucket_of(0) == 0);
  CHECK(bpf::bucket_of(1) == 0);
  for (std::uint32_t k = 1; k < shm::kHistogramBuckets - 1; ++k) {
    const std::uint64_t bound = std::uint64_t{1} << k;
    INFO("2^" << k);
    CHECK(bpf::bucket_of(bound) == k);
    CHECK(bpf::bucket_of(bound + 1) == k + 1);
    CHECK(bpf::bucket_of(bound / 2 + 1) == k);
  }
}

TEST_CASE("the last bucket takes everything above") {
  constexpr std::uint32_t kLast = shm::kHistogramBuckets - 1;
  CHECK(bpf::bucket_of((1ULL << 30)) == 30);
  CHECK(bpf::bucket_of((1ULL << 30) + 1) == kLast);
  CHECK(bpf::bucket_of(1ULL << 31) == kLast);
  CHECK(bpf::bucket_of((1ULL << 32) + 5) == kLast);
  CHECK(bpf::bucket_of(~0ULL) == kLast);
}

TEST_CASE("buckets are those of the defining loop") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t d = random() >> (random() % 64);
    std::uint32_t expected = 0;
    while (expected < shm::kHistogramBuckets - 1 && d > (1ULL << expected)) ++expected;
    if (bpf::bucket_of(d) != expected) {
      INFO(d);
      CHECK(bpf::bucket_of(d) == expected);
    }
  }
  SUCCEED();
}

TEST_CASE("operations are read, write or neither, as in /proc/diskstats") {
  CHECK(bpf::operation_of(0) == shm::kRead);
  CHECK(bpf::operation_of(1) == shm::kWrite);
  for (const std::uint32_t other : {2U, 3U, 32U, 33U, 34U, 35U, 10U})
    CHECK(bpf::operation_of(other) == bpf::kNoOperation);  // flush, discard, driver private, zones
  for (const std::uint32_t carries : {5U, 7U, 9U}) CHECK(bpf::operation_of(carries) == shm::kWrite);
}

TEST_CASE("the slot table is a map, whatever happened to it before") {
  constexpr std::uint32_t kBits = 7;
  std::vector<bpf::SlotEntry> memory(1U << kBits);
  SlotTable table(memory, kBits);
  std::map<std::uint64_t, std::uint32_t> model;
  std::mt19937_64 random(3);
  std::size_t refused = 0;
  for (int step = 0; step < 100'000; ++step) {
    const std::uint64_t id = 1 + random() % 200;
    const auto slot = static_cast<std::uint32_t>(random() % 50);
    if (random() % 2 == 0 && model.size() < 40) {
      if (table.put(id, slot)) {
        model[id] = slot;
      } else {
        ++refused;
      }
    } else {
      table.erase(id);
      model.erase(id);
    }
    const std::uint64_t asked = 1 + random() % 200;
    const auto found = model.find(asked);
    if (table.find(asked, 999) != (found == model.end() ? 999 : found->second)) {
      INFO("step " << step << " id " << asked);
      REQUIRE(table.find(asked, 999) == (found == model.end() ? 999 : found->second));
    }
  }
  CHECK(refused < 10);  // a third full: searches of 16 do not run out
}

TEST_CASE("a full slot table refuses, and keeps what it has") {
  constexpr std::uint32_t kBits = 4;
  std::vector<bpf::SlotEntry> memory(1U << kBits);
  SlotTable table(memory, kBits);
  for (std::uint64_t id = 1; id <= 16; ++id) CHECK(table.put(id, static_cast<std::uint32_t>(id)));
  CHECK_FALSE(table.put(17, 17));
  CHECK(table.put(16, 99));
  CHECK(table.find(16, 0) == 99);
  CHECK(table.find(1, 0) == 1);
  table.erase(5);
  CHECK(table.put(17, 17));
  CHECK(table.find(17, 0) == 17);
  CHECK(table.find(5, 0) == 0);
}

TEST_CASE("ids that mark entries are no cgroups") {
  std::vector<bpf::SlotEntry> memory(16);
  SlotTable table(memory, 4);
  CHECK_FALSE(table.put(OPTIPOD_EMPTY_ID, 2));
  CHECK_FALSE(table.put(OPTIPOD_ERASED_ID, 2));
  CHECK(table.find(OPTIPOD_EMPTY_ID, 7) == 7);
  SlotTable none;
  CHECK_FALSE(none.put(1, 2));
  none.erase(1);
  CHECK(none.find(1, 7) == 7);
}

TEST_CASE("cpu time is split by ticks, exactly summed and never backwards") {
  std::mt19937_64 random(11);
  shm::CpuTime before{};
  std::uint64_t exec = 0;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  for (int i = 0; i < 10'000; ++i) {
    exec += random() % 5'000'000;
    (random() % 3 == 0 ? system : user) += (random() % 2) * 4'000'000;
    const shm::CpuTime now = split_cpu_time(exec, user, system, before);
    REQUIRE(now.user_ns + now.system_ns == now.usage_ns);
    REQUIRE(now.usage_ns == exec);
    REQUIRE(now.user_ns >= before.user_ns);
    REQUIRE(now.system_ns >= before.system_ns);
    before = now;
  }
  const double ticks = static_cast<double>(system) / static_cast<double>(user + system);
  CHECK(static_cast<double>(before.system_ns) / static_cast<double>(exec) ==
        Approx(ticks).margin(0.01));
}

TEST_CASE("cpu time without ticks is user time") {
  const shm::CpuTime t = split_cpu_time(500, 0, 0, {});
  CHECK(t.user_ns == 500);
  CHECK(t.system_ns == 0);
  CHECK(split_cpu_time(500, 0, 4'000'000, {}).system_ns == 500);
  CHECK(split_cpu_time(500, 4'000'000, 0, {}).user_ns == 500);
}

TEST_CASE("a cgroup's last split is kept for a walk, then forgotten") {
  CpuTimeSplitter splitter;
  CHECK(splitter.split(1, 1000, 1, 1).system_ns == 500);
  splitter.end_walk();
  CHECK(splitter.split(1, 1000, 1, 0).system_ns == 500);  // nothing ran: as it was
  splitter.end_walk();
  splitter.end_walk();
  splitter.end_walk();
  CHECK(splitter.split(1, 1000, 1, 0).system_ns == 0);
}

TEST_CASE("the throttled part of a wait is the overlap with the times of throttling") {
  bpf::ThrottleMark mark{};
  // First look: whatever was before is not ours to judge.
  CHECK(bpf::throttled_part(&mark, 0xa, 500, 100, 1000) == 0);
  // Put off at 2000, throttled for 300; queued then, dispatched late: the rest is contention.
  bpf::mark_throttled(&mark, 0xa, 500, 2000);
  CHECK(bpf::throttled_part(&mark, 0xa, 800, 2000, 2450) == 300);
  // The others of the group: one was waiting before, one came in the middle, one afterwards.
  CHECK(bpf::throttled_part(&mark, 0xa, 800, 1900, 2460) == 300);
  CHECK(bpf::throttled_part(&mark, 0xa, 800, 2200, 2470) == 100);
  CHECK(bpf::throttled_part(&mark, 0xa, 800, 2300, 2480) == 0);
  // Throttled again before the last one got its turn: both times count for that one.
  bpf::mark_throttled(&mark, 0xa, 800, 3000);
  CHECK(bpf::throttled_part(&mark, 0xa, 800, 2100, 3010) == 200);  // not over: what is known
  CHECK(bpf::throttled_part(&mark, 0xa, 900, 2100, 3200) == 300);
}

TEST_CASE("throttled while nobody ran: it ended just now, and is never more than the wait") {
  bpf::ThrottleMark mark{};
  CHECK(bpf::throttled_part(&mark, 0xa, 10, 100, 200) == 0);
  CHECK(bpf::throttled_part(&mark, 0xa, 110, 1000, 1500) == 100);
  CHECK(bpf::throttled_part(&mark, 0xa, 10110, 2000, 2050) == 50);
  CHECK(bpf::throttled_part(&mark, 0xa, 90000, 10, 20) == 10);  // longer than time itself
}

TEST_CASE(
    "another group at the same place begins anew, and old times are forgotten, not invented") {
  bpf::ThrottleMark mark{};
  bpf::mark_throttled(&mark, 0xa, 0, 1000);
  CHECK(bpf::throttled_part(&mark, 0xb, 700, 0, 5000) == 0);
  CHECK(bpf::throttled_part(&mark, 0xa, 100, 0, 6000) == 0);
  bpf::U64 total = 100;
  for (bpf::U64 i = 1; i <= 3 * bpf::kThrottleIntervals; ++i) {
    bpf::mark_throttled(&mark, 0xa, total, 10000 * i);
    total += 10;
    (void)bpf::throttled_part(&mark, 0xa, total, 10000 * i, 10000 * i + 100);
  }
  CHECK(bpf::throttled_part(&mark, 0xa, total, 0, 1000000) == 10 * bpf::kThrottleIntervals);
}
