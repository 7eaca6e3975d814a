// SPDX-License-Identifier: Apache-2.0
// Snapshots and questions made by hand, for policies.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "extender/policies/policy.hpp"

namespace optipod::extender::test {

/// One node: what it measured, and what Kubernetes says of it.
struct Node {
  std::map<Signal, double> value;
  NodeFacts facts;
};

/// Nodes "n00000", "n00001", …; everything measured at `at_ms`.
inline std::shared_ptr<Snapshot> make_snapshot(const std::vector<Node>& nodes,
                                               std::int64_t at_ms = 1'000'000) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const std::string number = std::to_string(i);
    names.push_back("n" + std::string(5 - std::min<std::size_t>(5, number.size()), '0') + number);
  }
  auto measured = std::make_shared<Measurements>();
  measured->nodes = std::make_shared<const NodeTable>(names);
  measured->received_ms = at_ms;
  measured->oldest_ms.assign(nodes.size(), 0);
  measured->newest_ms.assign(nodes.size(), 0);
  for (std::size_t s = 0; s < kSignals; ++s) {
    measured->value[s].assign(nodes.size(), kMissing);
    measured->measured_ms[s].assign(nodes.size(), 0);
    for (std::size_t row = 0; row < nodes.size(); ++row) {
      const auto found = nodes[row].value.find(static_cast<Signal>(s));
      if (found == nodes[row].value.end()) continue;
      measured->value[s][row] = found->second;
      measured->measured_ms[s][row] = at_ms;
      if (static_cast<Signal>(s) != Signal::kUp) {
        measured->oldest_ms[row] = measured->newest_ms[row] = at_ms;
      }
    }
  }
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->measured = std::move(measured);
  for (const Node& node : nodes) snapshot->facts.push_back(node.facts);
  return snapshot;
}

/// Known to Kubernetes with these amounts.
inline NodeFacts facts(std::initializer_list<double> allocatable,
                       std::initializer_list<double> requested = {}) {
  NodeFacts f;
  f.known = true;
  std::ranges::copy(allocatable, f.allocatable.amount.begin());
  std::ranges::copy(requested, f.requested.amount.begin());
  return f;
}

inline wire::Pod make_pod(double cpu = 0.5, double memory = 1024.0 * 1024 * 1024) {
  wire::Pod pod;
  pod.requests.amount = {cpu, memory, 1};
  return pod;
}

/// What a policy says of candidates. Owns everything the question leads to.
class Asked {
 public:
  /// All nodes of the snapshot are candidates, in this order of rows (default: 0, 1, 2, …). Of the
  /// pod its requests are expected, unless told otherwise. `policy` outlives this.
  Asked(const Policy& policy, const wire::Pod& pod, std::shared_ptr<const Snapshot> snapshot,
        std::vector<std::uint32_t> order = {}, std::vector<Booked> booked = {},
        Sensitivity sensitivity = {}, std::optional<Usage> expected = {})
      : policy_(policy),
        pod_(pod),
        snapshot_(std::move(snapshot)),
        rows_(std::move(order)),
        bookings_(std::move(booked)) {
    if (rows_.empty()) {
      for (std::uint32_t row = 0; row < snapshot_->size(); ++row) rows_.push_back(row);
    }
    for (std::uint32_t i = 0; i < bookings_.size(); ++i) booking_.push_back(i + 1);
    bookings_.insert(bookings_.begin(), Booked{});  // [0] is nothing
    prepared_ = policy.prepare(*snapshot_);
    question_ = std::make_unique<Question>(
        Question{pod_, expected.value_or(Usage{pod.requests.cpu(), pod.requests.memory()}),
                 sensitivity, *snapshot_, rows_, booking_, bookings_});
    judgement.reset(rows_.size());
    policy.judge(*question_, prepared_.get(), judgement);
  }
  Asked(const Policy& policy, const wire::Pod& pod, const std::vector<Node>& nodes)
      : Asked(policy, pod, make_snapshot(nodes)) {}
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;

  /// The term of this name for a candidate; NaN when the policy has none.
  [[nodiscard]] double term(std::string_view name, std::size_t candidate) const {
    const auto terms = policy_.terms();
    std::vector<double> values(terms.size(), kMissing);
    policy_.explain(*question_, prepared_.get(), judgement, candidate, values);
    const auto found = std::ranges::find(terms, name);
    return found == terms.end() ? kMissing
                                : values[static_cast<std::size_t>(found - terms.begin())];
  }

  Judgement judgement;

 private:
  const Policy& policy_;
  const wire::Pod pod_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::vector<std::uint32_t> rows_, booking_;
  std::vector<Booked> bookings_;
  std::shared_ptr<const Prepared> prepared_;
  std::unique_ptr<Question> question_;
};

}  // namespace optipod::extender::test
