// SPDX-License-Identifier: Apache-2.0
//
// One tick: look what cgroups there are, keep a slot for each entry, read everything.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "agent/profiler/cgroup_root.hpp"
#include "agent/profiler/discovery.hpp"
#include "agent/profiler/disk_counters.hpp"
#include "agent/profiler/entry_sampler.hpp"
#include "agent/profiler/error_log.hpp"
#include "agent/profiler/kernel_source.hpp"
#include "agent/profiler/neighbours.hpp"
#include "agent/profiler/node_sampler.hpp"
#include "agent/profiler/packet_drops.hpp"
#include "agent/profiler/pod_names.hpp"
#include "agent/profiler/slot_pool.hpp"
#include "shm/tick.hpp"

namespace optipod::agent {

struct SamplerOptions {
  CgroupRoot root;
  std::vector<unsigned> cpus;  ///< empty: all
  std::string node_name;
  std::string pods_directory = "/var/log/pods";
  std::uint32_t max_containers = 512;
};

/// Slots the kernel side needs: the two fixed ones, one per entry, and room for those that rest.
std::uint32_t slots_needed(std::uint32_t max_containers);

/// One thread. `kernel` outlives it.
class Sampler {
 public:
  Sampler(SamplerOptions options, KernelSource& kernel);

  /// Replaces tick.node (except what the writer fills in), tick.containers, tick.devices and
  /// tick.neighbours.
  void sample(shm::Tick& tick);
  /// Between two ticks: gives cgroups that were made meanwhile their slots, so that what they do is
  /// theirs from now on, also of those that will be gone at the next tick. False: none was made.
  bool look_for_new();

  [[nodiscard]] std::uint64_t errors() const { return errors_.count(); }
  /// As shm::AgentRecord::container_cuts.
  [[nodiscard]] const std::uint64_t* cuts() const { return cuts_; }
  [[nodiscard]] std::size_t free_slots() const { return pool_.free() + pool_.resting(); }

 private:
  struct Live {
    Entry entry;
    Slot slot = kNodeOther;
    EntrySampler sampler;
    shm::ContainerRecord record{};  ///< as published last
  };

  void tell_kills();
  [[nodiscard]] std::string name_of(Slot slot) const;
  bool hear_of_new();
  void count_short_lived();
  bool read_values();
  bool tree_changed(bool have_values);
  [[nodiscard]] bool scanned_is_current() const;
  void rescan();
  void retire(Live& live);
  void update(Live& live, Entry entry);
  bool admit(Entry entry);
  void charge(const Entry::Member& member, Slot slot);
  void read_slot(Live& live);
  void write_identity(Live& live);
  void sample_neighbours(shm::Tick& tick);
  void sample_devices(std::vector<shm::DeviceRecord>& devices);
  void sample_cpus(shm::NodeRecord& node) const;
  [[nodiscard]] const CgroupValues* values_of(std::uint64_t cgroup_id) const;

  SamplerOptions options_;
  KernelSource& kernel_;
  PodNames names_;
  NodeSampler node_;
  DiskCounters disks_;
  PacketDrops drops_;
  SlotPool pool_;
  Neighbours neighbours_;
  std::vector<PairCount> pairs_;  // since the last tick
  std::vector<OomKill> kills_;    // just now
  ErrorLog errors_;
  std::uint64_t tick_ = 0, scanned_ = 0, retry_ = 1;
  std::uint64_t cuts_[shm::kCutReasons] = {};
  std::unordered_set<std::uint64_t> cut_;  // cgroups without a record for want of room
  std::vector<MadeCgroup> heard_, made_;   // just now; all that no scan has been after yet
  std::uint64_t root_id_ = 0;
  std::vector<CgroupValues> values_;                      // of the iterator, this tick
  std::unordered_map<std::uint64_t, std::size_t> index_;  // cgroup id -> values_
  std::vector<std::uint64_t> walked_;                     // ids in the iterator's order, last tick
  std::unordered_set<std::uint64_t> known_;               // ids in the tree at the last scan
  std::map<std::uint64_t, Live> live_;                    // by cgroup id
  std::vector<shm::ContainerRecord> last_records_;        // of those gone since the last tick
  bool looked_ = false;                                   // between the last tick and this one
  bool unsettled_ = false;                                // some names may still be found
};

}  // namespace optipod::agent
