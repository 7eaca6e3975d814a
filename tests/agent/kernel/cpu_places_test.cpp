// SPDX-License-Identifier: Apache-2.0
//
// Which CPUs share caches and nodes, as sysfs tells it of machines that are not here.
#include "agent/profiler/kernel/cpu_places.hpp"

#include "bpf/shared.h"
#include "tests/agent/kernel/fake_cpus.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::agent;
using kernel::cpu_places;
using optipod::agent::test::FakeCpus;

namespace bpf = optipod::bpf;

TEST_CASE("CPUs of one last level cache have one place, whatever other caches they have") {
  FakeCpus machine;
  machine.add(0, {{1, "0"}, {1, "0"}, {2, "0"}, {3, "0-1"}}, 0);
  machine.add(1, {{1, "1"}, {2, "1"}, {3, "0-1"}}, 0);
  machine.add(2, {{1, "2"}, {3, "2,10"}, {2, "2"}}, 0);  // in no order
  machine.add(3, {{2, "3"}}, 1);                         // its second is its last
  const auto places = cpu_places(5, machine.path());
  CHECK(places == std::vector<std::uint32_t>{0, 0, 2, 1u << 16 | 3, bpf::kNoPlace});
}

TEST_CASE("without NUMA there is one node, without caches no place") {
  FakeCpus machine;
  machine.add(0, {{3, "0"}}, -1);
  CHECK(cpu_places(1, machine.path()) == std::vector<std::uint32_t>{0});
  FakeCpus bare;
  bare.add(0, {}, 0);
  CHECK(cpu_places(1, bare.path()).empty());
  CHECK(cpu_places(2, bare.path() + "/nowhere").empty());
}
