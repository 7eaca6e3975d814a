// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "agent/profiler/kernel.hpp"

namespace optipod::agent {

/// Which of the kernel's slots are free. A slot that was given back rests for a whole tick, because
/// events that began before may still be charged to it, and is zeroed before it is handed out
/// again.
class SlotPool {
 public:
  /// Slots kFirstSlot … kFirstSlot + count - 1.
  explicit SlotPool(std::uint32_t count) {
    for (std::uint32_t i = count; i > 0; --i) free_.push_back(kFirstSlot + i - 1);
  }

  std::optional<Slot> take() {
    if (free_.empty()) return std::nullopt;
    const Slot slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void give_back(Slot slot, std::uint64_t tick) { resting_.push_back({slot, tick}); }

  /// Call at the beginning of a tick; `reset` zeroes a slot.
  template <class Reset>
  void settle(std::uint64_t tick, Reset reset) {
    while (!resting_.empty() && resting_.front().since + 1 < tick) {
      reset(resting_.front().slot);
      free_.push_back(resting_.front().slot);
      resting_.pop_front();
    }
  }
  [[nodiscard]] std::size_t free() const { return free_.size(); }
  [[nodiscard]] std::size_t resting() const { return resting_.size(); }

 private:
  struct Resting {
    Slot slot;
    std::uint64_t since;
  };
  std::vector<Slot> free_;
  std::deque<Resting> resting_;
};

}  // namespace optipod::agent
