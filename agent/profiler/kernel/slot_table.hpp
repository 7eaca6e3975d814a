// SPDX-License-Identifier: Apache-2.0
//
// The writing side of the slot table in bpf/shared.h: cgroup id -> slot, open addressing in memory
// that eBPF programs search at the same time.
#pragma once

#include <cstdint>
#include <span>

#include "bpf/shared.h"

namespace optipod::agent::kernel {

/// Does not own the memory. One thread. A program that searches during a change finds the old or
/// the new state of the entry concerned, and every other entry as it is.
class SlotTable {
 public:
  SlotTable() = default;
  /// `entries.size()` is 2^bits.
  SlotTable(std::span<bpf::SlotEntry> entries, std::uint32_t bits)
      : entries_(entries), bits_(bits) {}

  /// False: no room within reach of the id's first place.
  bool put(std::uint64_t cgroup_id, std::uint32_t slot);
  void erase(std::uint64_t cgroup_id);
  /// As the kernel finds it; `missing` when it does not.
  [[nodiscard]] std::uint32_t find(std::uint64_t cgroup_id, std::uint32_t missing) const;

 private:
  [[nodiscard]] std::size_t place(std::uint64_t cgroup_id, std::uint32_t step) const;
  /// The entry that holds the id, or entries_.size().
  [[nodiscard]] std::size_t position(std::uint64_t cgroup_id) const;

  std::span<bpf::SlotEntry> entries_;
  std::uint32_t bits_ = 0;
};

}  // namespace optipod::agent::kernel
