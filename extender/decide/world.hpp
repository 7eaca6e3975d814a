// SPDX-License-Identifier: Apache-2.0
//
// What one decision rests on, as one pointer: the cluster, the policies, and what each policy made
// of that cluster beforehand.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "extender/cluster/asked_order.hpp"
#include "extender/cluster/snapshot.hpp"
#include "extender/cluster/usage.hpp"
#include "extender/decide/policy_set.hpp"

namespace optipod::extender {

struct PolicyView {
  std::shared_ptr<const Prepared> prepared;
  /// [row]: when the oldest value the policy needs was measured, Unix ms; kNothing: it has none;
  /// kAgeless: Policy::ageless().
  std::vector<std::int64_t> oldest_ms;
  std::int64_t oldest_of_all = kNothing;  ///< the least of these

  static constexpr std::int64_t kNothing = 0;
  static constexpr std::int64_t kAgeless = std::numeric_limits<std::int64_t>::max();
};

/// Where a node stands with Kubernetes.
struct Place {
  std::uint32_t zone = 0;  ///< another for each zone; one for all nodes without
  /// It says that pods should rather not go there, by a taint, or says nothing of the node.
  bool avoided = true;
};

struct World {
  std::shared_ptr<const Snapshot> snapshot = std::make_shared<const Snapshot>();
  std::shared_ptr<const PolicySet> policies;
  std::vector<PolicyView> views;  ///< [policy]
  /// [row]: what Kubernetes says that the node has, else what is measured; NaN: neither. Apart from
  /// NodeFacts, for the caches' sake.
  std::vector<Usage> capacity;
  std::vector<Place> places;  ///< [row]; empty: Kubernetes says nothing of any node
};

/// Lets every policy prepare.
std::shared_ptr<const World> make_world(std::shared_ptr<const Snapshot> snapshot,
                                        std::shared_ptr<const PolicySet> policies);

/// Where the newest world is put and decisions take it. Thread-safe; the lock is held for a
/// pointer's copy only. (Not std::atomic<shared_ptr>: GCC 12's load() unlocks relaxed, a data race
/// that ThreadSanitizer rightly reports; it spins, where this sleeps.)
class CurrentWorld {
 public:
  explicit CurrentWorld(std::shared_ptr<const World> world) : world_(std::move(world)) {}

  [[nodiscard]] std::shared_ptr<const World> get() const {
    const std::lock_guard lock(mutex_);
    return world_;
  }
  void set(std::shared_ptr<const World> world) {
    {
      const std::lock_guard lock(mutex_);
      world_.swap(world);
    }
    // The old one dies here, outside the lock.
  }

  /// Decisions tell it what they were asked about; who puts worlds here lays out their rows by it.
  [[nodiscard]] AskedOrder& asked_order() { return asked_order_; }

 private:
  AskedOrder asked_order_;
  mutable std::mutex mutex_;
  std::shared_ptr<const World> world_;
};

}  // namespace optipod::extender
