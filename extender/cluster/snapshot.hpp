// SPDX-License-Identifier: Apache-2.0
//
// The cluster at one moment, immutable: what the nodes measured (columns, one row a node) and what
// Kubernetes says of them. A decision reads one snapshot from beginning to end, whatever is
// published meanwhile.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "extender/cluster/demand.hpp"
#include "extender/cluster/node_table.hpp"
#include "extender/cluster/signals.hpp"
#include "extender/wire/resources.hpp"

namespace optipod::extender {

inline constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

/// What a node told of one signal, rounded.
struct Reading {
  float value = static_cast<float>(kMissing);
  std::int32_t age_ms = 0;  ///< when it was received; < 0: the node's clock is ahead of ours
};

struct Measurements {
  std::shared_ptr<const NodeTable> nodes = std::make_shared<const NodeTable>();
  /// [signal][row]; kMissing (NaN) where a node has not told, or not lately.
  std::array<std::vector<double>, kSignals> value;
  /// [signal][row]: when it was measured on the node, Unix ms; meaningless where the value is
  /// missing.
  std::array<std::vector<std::int64_t>, kSignals> measured_ms;
  /// [row × kSignals + signal]: the same again with what a row has together, for who wants all of
  /// few rows, as the record of a decision does: in the columns each would be a cache line.
  std::vector<Reading> readings;
  /// [row]: oldest and newest measured_ms of the row's values but kUp; 0 when it has none.
  std::vector<std::int64_t> oldest_ms, newest_ms;
  /// When the federate answer that these came from was received, Unix ms; 0: none yet.
  std::int64_t received_ms = 0;

  [[nodiscard]] std::size_t size() const { return nodes->size(); }
  /// kSignals of them.
  [[nodiscard]] std::span<const Reading> readings_of(std::size_t row) const {
    return std::span(readings).subspan(row * kSignals, kSignals);
  }
};

/// What the API server says of a node.
struct NodeFacts {
  /// Whether it says anything (see Snapshot::follows_kubernetes). If not, the rest is meaningless.
  bool known = false;
  wire::Resources allocatable;   ///< status.allocatable
  wire::Resources requested;     ///< of the pods bound to it that have not ended
  double congestion = kMissing;  ///< annotation congestion-factor; NaN: none, or no number
  bool avoided = false;          ///< has a taint PreferNoSchedule
  std::uint64_t zone = 0;        ///< hash of its zone's name; 0: none
};

struct Snapshot {
  std::shared_ptr<const Measurements> measured = std::make_shared<const Measurements>();
  std::vector<NodeFacts> facts;  ///< [row]
  /// Whether what Kubernetes says counts: pods and nodes have been listed, and are followed.
  bool follows_kubernetes = false;
  DemandMoments demand;

  [[nodiscard]] const NodeTable& nodes() const { return *measured->nodes; }
  [[nodiscard]] std::size_t size() const { return measured->size(); }
  /// [row]; kMissing where there is none that is young enough.
  [[nodiscard]] const std::vector<double>& value(Signal s) const {
    return measured->value[index(s)];
  }
};

}  // namespace optipod::extender
