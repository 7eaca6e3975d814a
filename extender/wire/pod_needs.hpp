// SPDX-License-Identifier: Apache-2.0
// What the parts of a v1.Pod say, put together as kube-scheduler does; for the readers in wire/, in
// whatever encoding the pod comes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "extender/wire/pod.hpp"

namespace optipod::extender::wire {

/// A v1.ResourceList.
struct ResourceList {
  /// What is stated; the rest is absent, which is not zero where another list overrides.
  std::array<std::optional<double>, kMostResources> amount;
  bool any = false;        ///< it has an entry, of whatever resource
  bool pod_level = false;  ///< it has one of a resource that pods can have as a whole

  /// 0 where absent.
  [[nodiscard]] double operator[](std::size_t resource) const {
    return amount[resource].value_or(0);
  }
};

/// An entry of a list. What is no quantity or negative counts in `bad`.
void state_quantity(const ResourceNames& names, std::string_view name, std::string_view quantity,
                    ResourceList& out, unsigned& bad);

/// v1.ResourceRequirements.
struct Requirements {
  ResourceList requests, limits;
};

struct Need {
  std::string_view name;
  Requirements resources;
  bool stays = false;  ///< an init container with restartPolicy Always
};

/// What the kubelet says of a container, or of the pod as a whole: while a pod is resized in place
/// (KEP-1287), neither that nor the spec alone is what it holds.
struct Reported {
  std::string_view name;
  ResourceList allocated;
  Requirements actual;
  bool has_actual = false;
};

struct PodNeeds {
  std::vector<Need> containers, init_containers;
  ResourceList overhead;
  Requirements pod_level;
  std::vector<Reported> container_states, init_container_states;
  Reported pod_state;

  /// An entry of status.conditions, in their order.
  void condition(std::string_view type, std::string_view reason);
  /// Fills the pod's requests and limits.
  void settle(const ResourceNames& names, Pod& pod) const;

 private:
  std::optional<bool> infeasible_;  ///< the node cannot grant the resize that is asked for
};

/// When the last of several containers started.
class Starts {
 public:
  /// Of one container, Unix ms; none: it does not run.
  void add(std::optional<std::int64_t> started_ms) {
    all_run_ = all_run_ && started_ms.has_value();
    last_ms_ = std::max(last_ms_, started_ms.value_or(0));
  }
  /// As Pod::running_since_ms.
  [[nodiscard]] std::int64_t running_since_ms() const { return all_run_ ? last_ms_ : 0; }

 private:
  bool all_run_ = true;
  std::int64_t last_ms_ = 0;
};

/// Whose annotations are kept.
inline constexpr std::string_view kAnnotationPrefix = "optipod.dev/";

}  // namespace optipod::extender::wire
