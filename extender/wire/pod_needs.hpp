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

/// What is stated; the rest is absent, which is not zero where pod-level resources override.
using Stated = std::array<std::optional<double>, kMostResources>;

/// An entry of a v1.ResourceList. What is no quantity or negative counts in `bad`.
void state_quantity(const ResourceNames& names, std::string_view name, std::string_view quantity,
                    Stated& out, unsigned& bad);

struct Need {
  Stated requests, limits;
  bool stays = false;  ///< an init container with restartPolicy Always
};

struct PodNeeds {
  std::vector<Need> containers, init_containers;
  Stated overhead;
  Need pod_level;

  /// Fills the pod's requests and limits.
  void settle(const ResourceNames& names, Pod& pod) const;
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
