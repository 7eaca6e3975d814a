// SPDX-License-Identifier: Apache-2.0
//
// What is read of a pod, whether kube-scheduler sends it or the API server's watch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "extender/wire/resources.hpp"

namespace optipod::extender::wire {

/// Views are valid as long as the text that was read.
struct Pod {
  std::string_view name, name_space, uid;
  /// What kube-scheduler reckons with: containers and restartable init containers together, or the
  /// largest other init container if that is more; plus overhead; pod-level resources override.
  /// Requests hold one of kPods.
  Resources requests, limits;
  std::int64_t priority = 0;
  /// Those with the prefix "optipod.dev/" only.
  std::vector<std::pair<std::string_view, std::string_view>> annotations;
  /// The owner that has `controller: true`, and the label that a ReplicaSet's name ends in.
  std::string_view owner_kind, owner_name, template_hash;
  /// Quantities that are none; they count as absent.
  unsigned bad_quantities = 0;
  /// It says which of the nodes that it may run on it would rather have: preferred affinity to
  /// nodes or pods, or a spread that may be missed. Read of kube-scheduler's requests only.
  bool prefers = false;

  // Of pods that exist already:
  std::string_view node_name, phase;
  /// When the last of its containers started, Unix ms; 0: not all of them run.
  std::int64_t running_since_ms = 0;

  /// Value of the annotation `name` (with its prefix), "" when absent.
  [[nodiscard]] std::string_view annotation(std::string_view name) const;
};

/// Which pods are alike: "namespace/Kind/name" of the controller, a ReplicaSet's without the hash
/// of its template (so that a rollout keeps what was learned) and a Job's without the number that a
/// CronJob gives it. "" for a pod without a controller.
std::string workload_of(const Pod& pod);

}  // namespace optipod::extender::wire
