// SPDX-License-Identifier: Apache-2.0
//
// The replies kube-scheduler decodes: ExtenderFilterResult, HostPriorityList,
// ExtenderPreemptionResult, ExtenderBindingResult. Never a null where a map or list belongs (some
// of its versions crash on one), no newline at the end (what follows the JSON costs the scheduler
// its connection).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "extender/cluster/node_table.hpp"
#include "extender/wire/request.hpp"

namespace optipod::extender::wire {

/// Why a filter request with whole Node objects fails: for ExtenderFilterResult.Error.
inline constexpr std::string_view kNeedsNodeNames =
    "optipod-extender filters only with nodeCacheCapable: true in its entry of "
    "KubeSchedulerConfiguration: with false, kube-scheduler >= 1.33 scores the nodes that a filter "
    "returns as if they were idle (kubernetes/kubernetes#141781). See docs/policies.md, "
    "Configuring "
    "kube-scheduler.";

/// Appends the answer that passes `names` but those with `reason[i]` not empty, in order; reasons
/// are constant texts. Those with `left_out[i]` not 0 are not named at all, which to kube-scheduler
/// is no failure. Either list is empty (of none) or as long as `names`.
void append_filter(std::string& out, std::span<const std::string_view> names,
                   std::span<const std::string_view> reason,
                   std::span<const std::uint8_t> left_out = {});
void append_filter_error(std::string& out, std::string_view error);

/// Appends [{"Host":…,"Score":…},…] of the hosts with a score over zero, known ones first. `rows`
/// are rows of `nodes` or kUnknown, scores 0 .. 10. Returns how many are listed.
std::size_t append_priorities(std::string& out, const NodeTable& nodes,
                              std::span<const std::uint32_t> rows,
                              std::span<const std::string_view> names,
                              std::span<const std::uint8_t> scores);

/// Appends the victims of `args` on the nodes with `keep[i]` not 0, by UID, in order.
void append_preemption(std::string& out, const Args& args, std::span<const std::uint8_t> keep);

/// Appends {"Error":…}; "" is success.
void append_binding(std::string& out, std::string_view error);

}  // namespace optipod::extender::wire
