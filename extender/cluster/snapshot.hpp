// SPDX-License-Identifier: Apache-2.0
//
// The cluster as measured: immutable columns, one row a node. A decision reads one snapshot from
// beginning to end, whatever is published meanwhile.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "extender/cluster/node_table.hpp"
#include "extender/cluster/signals.hpp"

namespace optipod::extender {

inline constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

struct Snapshot {
  std::shared_ptr<const NodeTable> nodes = std::make_shared<const NodeTable>();
  /// [signal][row]; kMissing (NaN) where a node has not told.
  std::array<std::vector<double>, kSignals> value;
  /// [signal][row]: when it was measured on the node, Unix ms; meaningless where the value is
  /// missing.
  std::array<std::vector<std::int64_t>, kSignals> measured_ms;
  /// [row]: oldest and newest measured_ms of the row's values but kUp; 0 when it has none.
  std::vector<std::int64_t> oldest_ms, newest_ms;
  /// When the federate answer that this snapshot came from was received, Unix ms; 0: none yet.
  std::int64_t received_ms = 0;

  [[nodiscard]] std::size_t size() const { return nodes->size(); }
};

/// Where the refresh puts the newest snapshot and decisions take it. Thread-safe; the lock is held
/// for a pointer's copy only. (Not std::atomic<shared_ptr>: GCC 12's load() unlocks relaxed, a data
/// race that ThreadSanitizer rightly reports; it spins, where this sleeps.)
class CurrentSnapshot {
 public:
  [[nodiscard]] std::shared_ptr<const Snapshot> get() const {
    const std::lock_guard lock(mutex_);
    return snapshot_;
  }
  void set(std::shared_ptr<const Snapshot> snapshot) {
    {
      const std::lock_guard lock(mutex_);
      snapshot_.swap(snapshot);
    }
    // The old one dies here, outside the lock.
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<const Snapshot>();
};

}  // namespace optipod::extender
