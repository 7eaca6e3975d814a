// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/publisher.hpp"

namespace optipod::extender {

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
  if (now_ms >= published_ms_ && now_ms - published_ms_ < at_least_ms) return;
  publish(now_ms);
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
  snapshot->measured = measured_;
  snapshot->facts.resize(snapshot->size());
  std::uint32_t last = NodeTable::kUnknown;
  for (std::size_t i = 0; i < facts.facts.size(); ++i) {
    last = snapshot->nodes().find((*facts.names)[i], last + 1);
    snapshot->facts[last] = facts.facts[i];
    // Nodes whose pods have not been listed would pass for empty ones.
    snapshot->facts[last].known = facts.complete && followed_;
  }
  return snapshot;
}

void Publisher::publish(std::int64_t now_ms) {
  published_ms_ = now_ms;
  current_.set(make_world(snapshot_now(now_ms), policies_));
  ledger_.facts_include(bindings_);
  ledger_.settle(*measured_, now_ms);
}

}  // namespace optipod::extender
