// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/slot_table.hpp"

namespace optipod::agent::kernel {
namespace {

std::uint64_t id_of(const bpf::SlotEntry& entry) {
  return __atomic_load_n(&entry.cgroup_id, __ATOMIC_RELAXED);
}
// Publishes what was written to the entry before.
void set_id(bpf::SlotEntry& entry, std::uint64_t id) {
  __atomic_store_n(&entry.cgroup_id, id, __ATOMIC_RELEASE);
}
void set_slot(bpf::SlotEntry& entry, std::uint64_t slot) {
  __atomic_store_n(&entry.slot, slot, __ATOMIC_RELAXED);
}

}  // namespace

std::size_t SlotTable::place(std::uint64_t cgroup_id, std::uint32_t step) const {
  return (bpf::slot_hash(cgroup_id, bits_) + std::size_t{step}) & (entries_.size() - 1);
}

std::size_t SlotTable::position(std::uint64_t cgroup_id) const {
  for (std::uint32_t i = 0; i < bpf::kSlotProbes; ++i) {
    const std::size_t at = place(cgroup_id, i);
    const std::uint64_t found = id_of(entries_[at]);
    if (found == cgroup_id) return at;
    if (found == OPTIPOD_EMPTY_ID) break;
  }
  return entries_.size();
}

bool SlotTable::put(std::uint64_t cgroup_id, std::uint32_t slot) {
  if (cgroup_id == OPTIPOD_EMPTY_ID || cgroup_id == OPTIPOD_ERASED_ID || entries_.empty())
    return false;
  if (const std::size_t at = position(cgroup_id); at < entries_.size()) {
    set_slot(entries_[at], slot);
    return true;
  }
  for (std::uint32_t i = 0; i < bpf::kSlotProbes; ++i) {
    bpf::SlotEntry& entry = entries_[place(cgroup_id, i)];
    const std::uint64_t found = id_of(entry);
    if (found != OPTIPOD_EMPTY_ID && found != OPTIPOD_ERASED_ID) continue;
    set_slot(entry, slot);
    set_id(entry, cgroup_id);
    return true;
  }
  return false;
}

void SlotTable::erase(std::uint64_t cgroup_id) {
  if (entries_.empty()) return;
  std::size_t at = position(cgroup_id);
  if (at == entries_.size()) return;
  const std::size_t mask = entries_.size() - 1;
  // A search may go on behind this entry, unless that is where every search ends anyway. Then the
  // erased entries before it have no purpose either: so the table does not fill up with them.
  if (id_of(entries_[(at + 1) & mask]) != OPTIPOD_EMPTY_ID) {
    set_id(entries_[at], OPTIPOD_ERASED_ID);
    return;
  }
  do {
    set_id(entries_[at], OPTIPOD_EMPTY_ID);
    at = (at + mask) & mask;
  } while (id_of(entries_[at]) == OPTIPOD_ERASED_ID);
}

std::uint32_t SlotTable::find(std::uint64_t cgroup_id, std::uint32_t missing) const {
  if (entries_.empty() || cgroup_id == OPTIPOD_EMPTY_ID || cgroup_id == OPTIPOD_ERASED_ID)
    return missing;
  const std::size_t at = position(cgroup_id);
  return at < entries_.size() ? static_cast<std::uint32_t>(entries_[at].slot) : missing;
}

}  // namespace optipod::agent::kernel
