// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/world.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

namespace optipod::extender {
namespace {

std::vector<std::int64_t> oldest(const Snapshot& snapshot, const Policy& policy) {
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> out(snapshot.size(), kNone);
  const SignalSet needs = policy.needs();
  for (std::size_t s = 0; s < kSignals; ++s) {
    if (!needs.has(static_cast<Signal>(s)) || static_cast<Signal>(s) == Signal::kUp) continue;
    const std::vector<double>& value = snapshot.measured->value[s];
    const std::vector<std::int64_t>& time = snapshot.measured->measured_ms[s];
    for (std::size_t row = 0; row < out.size(); ++row) {
      if (!std::isnan(value[row])) out[row] = std::min(out[row], time[row]);
    }
  }
  for (std::size_t row = 0; row < out.size(); ++row) {
    if (policy.ageless(snapshot, row)) {
      out[row] = PolicyView::kAgeless;
    } else if (out[row] == kNone) {
      out[row] = PolicyView::kNothing;
    }
  }
  return out;
}

std::vector<Usage> capacity_of(const Snapshot& snapshot) {
  std::vector<Usage> out;
  out.reserve(snapshot.size());
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    const NodeFacts& facts = snapshot.facts[row];
    out.push_back(facts.known ? Usage{facts.allocatable.cpu(), facts.allocatable.memory()}
                              : Usage{snapshot.value(Signal::kCpus)[row],
                                      snapshot.value(Signal::kMemoryBytes)[row]});
  }
  return out;
}

std::vector<Place> places_of(const Snapshot& snapshot) {
  std::vector<Place> out;
  if (std::ranges::none_of(snapshot.facts, &NodeFacts::known)) return out;
  std::unordered_map<std::uint64_t, std::uint32_t> zones;
  out.reserve(snapshot.size());
  for (const NodeFacts& facts : snapshot.facts) {
    const auto zone = zones.try_emplace(facts.zone, static_cast<std::uint32_t>(zones.size())).first;
    out.push_back({.zone = zone->second, .avoided = !facts.known || facts.avoided});
  }
  return out;
}

}  // namespace

std::shared_ptr<const World> make_world(std::shared_ptr<const Snapshot> snapshot,
                                        std::shared_ptr<const PolicySet> policies) {
  auto world = std::make_shared<World>();
  world->views.resize(policies->size());
  for (std::size_t p = 0; p < policies->size(); ++p) {
    world->views[p].prepared = (*policies)[p].prepare(*snapshot);
    PolicyView& view = world->views[p];
    view.oldest_ms = oldest(*snapshot, (*policies)[p]);
    if (!view.oldest_ms.empty()) view.oldest_of_all = std::ranges::min(view.oldest_ms);
  }
  world->capacity = capacity_of(*snapshot);
  world->places = places_of(*snapshot);
  world->snapshot = std::move(snapshot);
  world->policies = std::move(policies);
  return world;
}

}  // namespace optipod::extender
