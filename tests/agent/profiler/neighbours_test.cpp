// SPDX-License-Identifier: Apache-2.0
// Who takes the CPU from whom, while slots change hands.
#include "agent/profiler/neighbours.hpp"

#include "tests/support/catch.hpp"

using namespace optipod::agent;
namespace shm = optipod::shm;

namespace {

std::vector<shm::NeighbourRecord> told(const Neighbours& neighbours) {
  std::vector<shm::NeighbourRecord> records(3);  // is replaced
  neighbours.tell(records);
  return records;
}

}  // namespace

TEST_CASE("pairs are summed by identity, the worst first") {
  Neighbours n;
  n.name(2, {100, 7});
  n.name(3, {200, 7});
  n.name(4, {300, 8});
  n.add({{2, 3, 5, 50}, {2, 4, 9, 10}, {3, 2, 1, 1}});
  n.add({{2, 3, 6, 60}});
  const auto records = told(n);
  REQUIRE(records.size() == 3);
  CHECK(records[0].victim_cgroup_id == 100);
  CHECK(records[0].victim_first_tick == 7);
  CHECK(records[0].aggressor_cgroup_id == 200);
  CHECK(records[0].preemptions == 11);
  CHECK(records[0].taken_ns == 110);
  CHECK(records[1].aggressor_cgroup_id == 300);
  CHECK(records[1].aggressor_first_tick == 8);
  CHECK(records[1].preemptions == 9);
  CHECK(records[2].victim_cgroup_id == 200);
}

TEST_CASE("a slot that changes hands takes nothing with it") {
  Neighbours n;
  n.name(2, {100, 1});
  n.name(3, {200, 1});
  n.add({{2, 3, 5, 50}, {3, 2, 4, 40}});
  n.drop(3);
  CHECK(told(n).empty());
  // Counted before it went, read afterwards: the victim is gone, the aggressor has no name.
  n.add({{3, 2, 2, 20}, {2, 3, 3, 30}});
  auto records = told(n);
  REQUIRE(records.size() == 1);
  CHECK(records[0].victim_cgroup_id == 100);
  CHECK(records[0].aggressor_cgroup_id == 0);
  CHECK(records[0].preemptions == 3);
  // The same cgroup number again, later: another container.
  n.name(3, {200, 9});
  n.add({{2, 3, 1, 1}});
  records = told(n);
  REQUIRE(records.size() == 2);
  CHECK(records[1].aggressor_first_tick == 9);
  CHECK(records[1].preemptions == 1);
  n.drop(5);  // nobody's
  CHECK(told(n).size() == 2);
}

TEST_CASE("each container remembers and tells a bounded number, and the rest is counted") {
  Neighbours n;
  constexpr Slot kMany = 100;
  for (Slot slot = kFirstSlot; slot < kFirstSlot + kMany; ++slot) n.name(slot, {slot, 1});
  std::uint64_t all = 0;
  for (Slot by = kFirstSlot + 1; by < kFirstSlot + kMany; ++by) {
    n.add({{kFirstSlot, by, by, 1}});
    all += by;
  }
  const auto records = told(n);
  CHECK(records.size() == shm::kNeighboursKept);
  for (std::size_t i = 1; i < records.size(); ++i)
    CHECK(records[i - 1].preemptions >= records[i].preemptions);
  CHECK(n.untold() > 0);
  std::uint64_t remembered = 0;
  for (Slot by = kFirstSlot + 1; by <= kFirstSlot + Neighbours::kRemembered; ++by) remembered += by;
  CHECK(n.untold() + remembered == all);
}

TEST_CASE("what has no name: no victim, but an aggressor") {
  Neighbours n;
  n.name(2, {100, 1});
  n.add({{kNodeOther, 2, 5, 5}, {2, kNodeOther, 2, 2}, {2, kOutside, 3, 3}});
  const auto records = told(n);
  REQUIRE(records.size() == 1);
  CHECK(records[0].aggressor_cgroup_id == 0);
  CHECK(records[0].preemptions == 5);
}
