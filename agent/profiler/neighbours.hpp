// SPDX-License-Identifier: Apache-2.0
//
// Who takes the CPU from whom, by identity instead of by slot: slots are handed out again, a pair
// (cgroup id, first tick) never is.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "agent/profiler/kernel.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

/// Bounded by the slots named to it: a container remembers kRemembered others at most, and forgets
/// each when that one goes. One thread.
class Neighbours {
 public:
  /// Others remembered per container; of these the worst shm::kNeighboursKept are told.
  static constexpr std::size_t kRemembered = 4 * shm::kNeighboursKept;

  struct Identity {
    std::uint64_t cgroup_id = 0, first_tick = 0;
    auto operator<=>(const Identity&) const = default;
  };

  /// From now on the slot is this container's.
  void name(Slot slot, Identity identity) { names_[slot] = identity; }
  /// The slot's container is gone, as victim and as aggressor. What is still counted for the slot
  /// is nobody's.
  void drop(Slot slot);

  /// Counts what the kernel counted while the slots had the names they have now. Pairs whose victim
  /// has no name are left out; an aggressor without one counts as {0, 0}.
  void add(const std::vector<PairCount>& pairs);
  /// Replaces `out`: each container's pairs together, the most preemptions first.
  void tell(std::vector<shm::NeighbourRecord>& out) const;
  /// Preemptions that are in no pair for want of room.
  [[nodiscard]] std::uint64_t untold() const { return untold_; }

 private:
  struct Taken {
    std::uint64_t preemptions = 0, taken_ns = 0;
  };
  std::map<Slot, Identity> names_;
  std::map<Identity, std::map<Identity, Taken>> taken_;  // victim -> aggressor
  std::uint64_t untold_ = 0;
};

}  // namespace optipod::agent
