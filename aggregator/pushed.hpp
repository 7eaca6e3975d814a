// SPDX-License-Identifier: Apache-2.0
//
// POST /update_metrics: what the first OptiPod's profilers send once a second.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "aggregator/series.hpp"

namespace optipod::aggregator {

/// The latest of each profiler, as optipod_pushed_* with label `node`. Thread-safe.
class Pushed {
 public:
  static constexpr std::size_t kFields = 8;
  static constexpr std::size_t kMaxNodes = 10'000;
  static constexpr std::size_t kMaxNodeBytes = 253;       ///< as a Kubernetes node's name
  static constexpr std::int64_t kMaxAgeMs = 15'000;       ///< values are not served when older
  static constexpr std::int64_t kForgottenMs = 300'000;   ///< nor the node and its age
  static std::array<std::string_view, kFields> fields();  ///< as the profilers call them

  struct Refusal {
    unsigned status = 400;
    std::string what;
  };
  /// `body`: {"node_id": "...", eight counts of the last second}; a count that is missing is 0. 503
  /// when there are kMaxNodes others.
  tl::expected<void, Refusal> update(std::string_view body, std::int64_t now_ms);

  struct Node {
    std::string name;
    std::int64_t received_ms = 0;
    std::array<double, kFields> counts{};
  };
  [[nodiscard]] std::vector<Node> nodes(std::int64_t now_ms) const;  ///< by name
  /// One a node: its counts, stamped when they came, and optipod_pushed_age_seconds, stamped now.
  [[nodiscard]] std::vector<SeriesSet> series(std::int64_t now_ms) const;
  /// Appends the same as families of exposition text; those without a sample are left out.
  void render(std::int64_t now_ms, std::string& out) const;

 private:
  void forget(std::int64_t now_ms);

  mutable std::mutex mutex_;
  std::map<std::string, Node, std::less<>> nodes_;
};

}  // namespace optipod::aggregator
