// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/publisher.hpp"

#include <cstdlib>

namespace optipod::extender {
namespace {

constexpr std::int64_t kLaidOutForMs = 2'000;

}  // namespace

Publisher::Publisher(std::int64_t keep_ms, CurrentWorld& current, Ledger& ledger,
                     const ClusterState* state)
    : keep_ms_(keep_ms),
      current_(current),
      ledger_(ledger),
      state_(state),
      policies_(current.get()->policies) {}

tl::expected<Built, std::string> Publisher::take(std::string_view text, std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  auto built = reader_.read(text, *measured_, now_ms, keep_ms_);
  if (!built) return built;
  measured_ = built->measured;
  publish(now_ms);
  return built;
}

void Publisher::set_policies(std::shared_ptr<const PolicySet> policies, std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  policies_ = std::move(policies);
  publish(now_ms);
}

void Publisher::set_followed(bool followed) {
  const std::lock_guard lock(mutex_);
  followed_ = followed;
}

void Publisher::refresh(std::int64_t now_ms, std::int64_t at_least_ms) {
  const std::lock_guard lock(mutex_);
  // A clock that went back is no reason to wait.
  const bool lately = now_ms >= published_ms_ && now_ms - published_ms_ < at_least_ms;
  if (lately && follows_kubernetes() == current_.get()->snapshot->follows_kubernetes) return;
  publish(now_ms);
}

bool Publisher::follows_kubernetes() const {
  return followed_ && state_ != nullptr && state_->complete();
}

std::shared_ptr<const Snapshot> Publisher::snapshot_now(std::int64_t now_ms) {
  measured_ = without_expired(std::move(measured_), now_ms, keep_ms_);
  auto snapshot = std::make_shared<Snapshot>();
  ClusterFacts facts;
  if (state_ != nullptr) {
    facts = state_->facts();
    bindings_ = facts.bindings;
    snapshot->demand = facts.demand;
  }
  measured_ = with_rows(std::move(measured_),
                        facts.names ? std::span(*facts.names) : std::span<const std::string>());
  lay_out(now_ms);
  snapshot->measured = measured_;
  add_facts(facts, *snapshot);
  return snapshot;
}

/// In the order that requests have, when they have another. Two clients with an order each would
/// have it changed for ever.
void Publisher::lay_out(std::int64_t now_ms) {
  if (std::abs(now_ms - laid_out_ms_) < kLaidOutForMs) return;
  const std::vector<std::uint32_t> order = current_.asked_order().take(*measured_->nodes);
  if (order.empty()) return;
  laid_out_ms_ = now_ms;
  auto moved = in_order(*measured_, order);
  reader_.rows_moved(*measured_->nodes, *moved->nodes, order);
  measured_ = std::move(moved);
}

void Publisher::add_facts(const ClusterFacts& facts, Snapshot& snapshot) {
  snapshot.facts.resize(snapshot.size());
  snapshot.follows_kubernetes = facts.complete && followed_;
  if (!facts.names) return;
  const NodeTable& nodes = snapshot.nodes();
  if (fact_names_ != facts.names || fact_table_ != nodes.id()) {
    fact_rows_.clear();
    for (const std::string& name : *facts.names) fact_rows_.push_back(nodes.find(name));
    fact_names_ = facts.names;
    fact_table_ = nodes.id();
  }
  for (std::size_t i = 0; i < facts.facts.size(); ++i) {
    NodeFacts& own = snapshot.facts[fact_rows_[i]];
    own = facts.facts[i];
    // Nodes whose pods have not been listed would pass for empty ones.
    own.known = snapshot.follows_kubernetes;
  }
}

void Publisher::publish(std::int64_t now_ms) {
  published_ms_ = now_ms;
  current_.set(make_world(snapshot_now(now_ms), policies_));
  ledger_.facts_include(bindings_);
  ledger_.settle(*measured_, now_ms);
}

}  // namespace optipod::extender
