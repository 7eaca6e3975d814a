// SPDX-License-Identifier: Apache-2.0
//
// What pods really use, fetched, and learned for the workloads they belong to.
#pragma once

#include <cstddef>
#include <string_view>

#include <tl/expected.hpp>

#include "extender/cluster/cluster_state.hpp"
#include "extender/cluster/workloads.hpp"
#include "extender/feeds/source.hpp"
#include "extender/metrics.hpp"

namespace optipod::extender {

/// The series that are read, label `namespace`, `pod`.
inline constexpr std::string_view kPodCpu = "optipod:pod_cpu_usage:mean_1m";
inline constexpr std::string_view kPodMemory = "optipod:pod_memory_bytes:last";
inline constexpr std::string_view kPodMatch =
    R"match({__name__=~"optipod:pod_(cpu_usage:mean_1m|memory_bytes:last)"})match";

/// One round: the mean over each workload's pods of which both values are told. Returns how many
/// workloads were learned of; the error names the line.
tl::expected<std::size_t, std::string> learn(std::string_view federated, const ClusterState& state,
                                             Workloads& workloads);

/// Fetches and learns as long as it lives.
class ProfilesFeed {
 public:
  ProfilesFeed(SourceOptions options, const ClusterState& state, Workloads& workloads,
               Metrics& metrics);

 private:
  void take(const Fetched& fetched);

  const ClusterState& state_;
  Workloads& workloads_;
  Metrics& metrics_;
  bool failing_ = false;
  Source source_;  // last: its thread uses the rest
};

}  // namespace optipod::extender
