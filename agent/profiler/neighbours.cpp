// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/neighbours.hpp"

#include <algorithm>

namespace optipod::agent {

void Neighbours::drop(Slot slot) {
  const auto name = names_.find(slot);
  if (name == names_.end()) return;
  taken_.erase(name->second);
  for (auto& [victim, others] : taken_) others.erase(name->second);
  names_.erase(name);
}

void Neighbours::add(const std::vector<PairCount>& pairs) {
  for (const PairCount& pair : pairs) {
    const auto victim = names_.find(pair.victim);
    if (victim == names_.end()) continue;
    const auto aggressor = names_.find(pair.aggressor);
    const Identity by = aggressor == names_.end() ? Identity{} : aggressor->second;
    auto& others = taken_[victim->second];
    // Whoever has no room keeps out: a series that came and went would never add up.
    if (others.size() >= kRemembered && !others.contains(by)) {
      untold_ += pair.preemptions;
      continue;
    }
    Taken& taken = others[by];
    taken.preemptions += pair.preemptions;
    taken.taken_ns += pair.taken_ns;
  }
}

void Neighbours::tell(std::vector<shm::NeighbourRecord>& out) const {
  out.clear();
  for (const auto& [victim, others] : taken_) {
    const std::size_t first = out.size();
    for (const auto& [by, taken] : others) {
      shm::NeighbourRecord record{};
      record.victim_cgroup_id = victim.cgroup_id;
      record.victim_first_tick = victim.first_tick;
      record.aggressor_cgroup_id = by.cgroup_id;
      record.aggressor_first_tick = by.first_tick;
      record.preemptions = taken.preemptions;
      record.taken_ns = taken.taken_ns;
      out.push_back(record);
    }
    const auto begin = out.begin() + static_cast<std::ptrdiff_t>(first);
    std::stable_sort(begin, out.end(),
                     [](const auto& a, const auto& b) { return a.preemptions > b.preemptions; });
    out.resize(std::min(out.size(), first + shm::kNeighboursKept));
  }
}

}  // namespace optipod::agent
