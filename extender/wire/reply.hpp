// SPDX-License-Identifier: Apache-2.0
//
// The replies kube-scheduler decodes: ExtenderFilterResult and HostPriorityList. Never a null map,
// no newline at the end (what follows the JSON costs the scheduler its connection).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "extender/cluster/node_table.hpp"

namespace optipod::extender::wire {

/// Why a request with whole Node objects gets no nodes: for ExtenderFilterResult.Error.
inline constexpr std::string_view kNeedsNodeNames =
    "optipod-extender needs nodeCacheCapable: true in its entry of KubeSchedulerConfiguration: "
    "with "
    "false, kube-scheduler >= 1.33 scores the nodes an extender returns as if they were idle "
    "(kubernetes/kubernetes#141781). See docs/policies.md, Configuring kube-scheduler.";

/// Appends the answer that passes `names` but those with `reason[i]` not empty, in order; reasons
/// are constant texts. `reason` is empty (none is rejected) or as long as `names`.
void append_filter(std::string& out, std::span<const std::string_view> names,
                   std::span<const std::string_view> reason);
void append_filter_error(std::string& out, std::string_view error);

/// Appends [{"Host":…,"Score":…},…] of the hosts with a score over zero. `rows` are rows of `nodes`
/// or kUnknown. Returns how many are listed.
std::size_t append_priorities(std::string& out, const NodeTable& nodes,
                              std::span<const std::uint32_t> rows,
                              std::span<const std::string_view> names,
                              std::span<const std::uint8_t> scores);

}  // namespace optipod::extender::wire
