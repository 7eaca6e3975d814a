// SPDX-License-Identifier: Apache-2.0
// A publisher with what it needs, all policies with their defaults, and an API server's view that a
// test fills.
#pragma once

#include <cstdint>
#include <memory>

#include "extender/decide/publisher.hpp"
#include "extender/policies/registry.hpp"

namespace optipod::extender::test {

constexpr std::int64_t kPublishedMs = 1'700'000'000'000;

struct Publishing {
  Ledger ledger;
  Workloads workloads;
  ClusterState state{ledger, workloads, [] { return kPublishedMs; }};
  CurrentWorld current{make_world(std::make_shared<const Snapshot>(),
                                  std::make_shared<const PolicySet>(make_policies({})))};
  Publisher publisher{30'000, current, ledger, &state};
};

}  // namespace optipod::extender::test
