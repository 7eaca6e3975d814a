// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "agent/profiler/kernel_source.hpp"

namespace optipod::test {

/// Remembers what it was told, counts what it is told to count.
class FakeKernel final : public agent::KernelSource {
 public:
  bool has_iterator = true;
  std::uint64_t valid_bits =
      shm::kValidRunqueueWait | shm::kValidPreemptions | shm::kValidSwitches | shm::kValidBlockIo;
  std::vector<agent::CgroupValues> cgroups;         ///< what the iterator gives
  std::map<std::uint64_t, agent::Slot> slot_of;     ///< cgroup id -> slot
  std::map<agent::Slot, agent::SlotValues> counts;  ///< per slot
  std::vector<agent::Slot> resets;
  std::vector<agent::Device> disks;
  std::vector<agent::DropCount> dropped;
  std::vector<agent::PairCount> pairs;  ///< handed out at the next take
  std::uint64_t untold = 0;
  agent::InterruptValues irqs;
  shm::QueueLengths lengths{};
  std::vector<agent::MadeCgroup> made;  ///< news for the next take
  bool tells_made = true;
  bool refuses_slots = false;
  std::vector<agent::ProgramCounts> running;
  std::vector<agent::OomKill> kills;  ///< told at the next take
  std::vector<std::string> failures;  ///< told at the next take
  int walks = 0;
  int taken_up = 0;

  /// A voluntary switch of a task in that cgroup.
  void switch_in(std::uint64_t cgroup_id, std::uint64_t times = 1) {
    const auto found = slot_of.find(cgroup_id);
    counts[found == slot_of.end() ? agent::kNodeOther : found->second]
        .cpu.switches[shm::kVoluntary] += times;
  }

  std::uint64_t valid() const override { return valid_bits; }
  const std::vector<shm::AgentRecord::Feature>& features() const override { return features_; }
  std::vector<agent::ProgramCounts> programs() const override { return running; }
  tl::expected<void, std::string> assign(int, std::uint64_t id, agent::Slot slot) override {
    if (refuses_slots) return tl::unexpected("no room for cgroup " + std::to_string(id));
    if (slot == agent::kNodeOther) {
      slot_of.erase(id);
    } else {
      slot_of[id] = slot;
    }
    return {};
  }
  void forget(std::uint64_t id) override { slot_of.erase(id); }
  void reset_slot(agent::Slot slot) override {
    retired_ += counts[slot].cpu.switches[shm::kVoluntary];
    counts.erase(slot);
    resets.push_back(slot);
  }
  void take_up() override { ++taken_up; }
  void open_window(bool) override {}
  agent::SlotValues slot_values(agent::Slot slot) const override {
    const auto found = counts.find(slot);
    return found == counts.end() ? agent::SlotValues{} : found->second;
  }
  agent::SlotValues node_values() const override {
    agent::SlotValues sum;
    sum.cpu.switches[shm::kVoluntary] = retired_;
    for (const auto& [slot, values] : counts) {
      sum.cpu.switches[shm::kVoluntary] += values.cpu.switches[shm::kVoluntary];
    }
    return sum;
  }
  agent::InterruptValues interrupts() const override { return irqs; }
  shm::QueueLengths queue_lengths() const override { return lengths; }
  void take_pairs(std::vector<agent::PairCount>& out) override {
    out.clear();
    out.swap(pairs);
  }
  std::uint64_t pairs_untold() const override { return untold; }
  std::vector<agent::Device> devices() const override { return disks; }
  void take_kills(std::vector<agent::OomKill>& out) override { out = std::exchange(kills, {}); }
  std::vector<agent::DropCount> drops() const override { return dropped; }
  int made_fd() const override { return tells_made ? 0 : -1; }
  void take_made(std::vector<agent::MadeCgroup>& out) override {
    out.clear();
    if (tells_made) out.swap(made);
  }
  std::vector<std::string> take_failures() override { return std::exchange(failures, {}); }
  bool read_cgroups(std::vector<agent::CgroupValues>& out) override {
    ++walks;
    if (has_iterator) out = cgroups;
    return has_iterator;
  }

 private:
  std::vector<shm::AgentRecord::Feature> features_;
  std::uint64_t retired_ = 0;
};

}  // namespace optipod::test
