// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace optipod::exporter {

/// Name of what made the pod, as far as the pod's own name says: of a Deployment's pod without the
/// hash of its ReplicaSet and the random end, of a CronJob's without the time, of a DaemonSet's, a
/// Job's or a ReplicaSet's without the random end, of a StatefulSet's without the ordinal, of a
/// static pod without the node's name. A pod that was made by hand is its own workload. Pure; a
/// part of `pod`, so there are never more workloads than pods.
std::string_view workload_of(std::string_view pod, std::string_view node);

}  // namespace optipod::exporter
