// SPDX-License-Identifier: Apache-2.0
//
// Pods on their way: what has been placed, or as good as placed, and is not in the measurements
// yet. Without it a burst of pods would all see the same idle node (the "herd"). A pod is booked
// when a decision is made, moved by the watch to where it was really bound, and fades out while the
// node's own measurements come to contain it.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "extender/cluster/snapshot.hpp"
#include "extender/cluster/usage.hpp"

namespace optipod::extender {

struct LedgerOptions {
  /// A decision that no binding followed is forgotten after this.
  std::int64_t decision_ms = 10'000;
  /// A bound pod that does not start is forgotten after this.
  std::int64_t bound_ms = 120'000;
  /// A running pod is in the measurements as a whole this long after it started: the shorter of
  /// their windows. It fades linearly.
  std::int64_t window_ms = 15'000;
  /// More pods than this are not booked: memory is bounded.
  std::size_t most_pods = 50'000;
  /// A decision between more equals than this books none of them.
  std::size_t most_shares = 64;
};

/// Thread-safe; no call does I/O.
class Ledger {
 public:
  explicit Ledger(LedgerOptions options = {}) : options_(options) {}

  /// A decision: one of `nodes` will get the pod; each is booked its share ("": a node that nobody
  /// will ask about). Replaces what is booked for the pod, unless that is known to be bound.
  void decided(std::string_view uid, std::span<const std::string_view> nodes, const Usage& usage,
               const wire::Resources& requests, std::int64_t now_ms);

  /// Of the nodes that a decision booked, or another one, it will be this. Nothing is booked for a
  /// pod that no decision was about.
  void assigned(std::string_view uid, std::string_view node, std::int64_t now_ms);

  /// The pod is bound to `node`, and runs there since `running_since_ms` (0: not yet).
  void bound(std::string_view uid, std::string_view node, const Usage& usage,
             const wire::Resources& requests, std::int64_t running_since_ms, std::int64_t now_ms);

  /// The pod has ended or was deleted.
  void gone(std::string_view uid);

  /// Grows with each bound(): what facts_include() is told.
  [[nodiscard]] std::uint64_t bindings() const;

  /// A snapshot is out whose NodeFacts::requested contain every pod bound before `bindings`.
  void facts_include(std::uint64_t bindings);

  /// Fades out what the measurements contain, and forgets what has waited too long.
  void settle(const Measurements& measured, std::int64_t now_ms);

  /// For each row of `table` that is asked for, an index into `bookings`; [0] is nothing. `index`
  /// stays empty when nothing is booked on any of them. What an earlier decision booked for the pod
  /// `uid` itself is left out.
  void read(const NodeTable& table, std::span<const std::uint32_t> rows, std::string_view uid,
            std::vector<std::uint32_t>& index, std::vector<Booked>& bookings) const;

  [[nodiscard]] std::size_t pods() const;
  [[nodiscard]] std::uint64_t refused() const;  ///< not booked because of most_pods

 private:
  using NodeId = std::uint32_t;
  static constexpr std::uint64_t kUnmapped = UINT64_MAX;
  struct Entry {
    std::vector<NodeId> nodes;
    Usage usage;
    wire::Resources requests;
    double fading = 1;  ///< share of the usage not in the measurements
    std::int64_t since_ms = 0, running_since_ms = 0;
    std::uint64_t binding = 0;  ///< 0: not bound
    bool requests_seen = false;
  };

  NodeId node_id(std::string_view name);
  static void add_share(const Entry& entry, double sign, Booked& total);
  void add(const Entry& entry, double sign);
  Entry* put(std::uint64_t key, std::int64_t now_ms);
  void rebuild();
  void map_rows(const NodeTable& table) const;

  const LedgerOptions options_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> entries_;  // by hash of the uid
  std::unordered_map<std::string, NodeId> ids_;
  std::vector<Booked> totals_;  // [NodeId]
  std::uint64_t bindings_ = 0, refused_ = 0;
  // Which id a row has in the table that was settled or asked for last, but for ids that are newer.
  mutable std::uint64_t mapped_ = kUnmapped;
  mutable std::vector<NodeId> id_of_row_;  // where booked_row_ says that it has one
  mutable std::vector<bool> booked_row_;   // apart: of a request's candidates few are booked
  mutable std::vector<std::pair<std::string, NodeId>> unmapped_;
};

}  // namespace optipod::extender
