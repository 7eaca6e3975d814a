// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/sampler.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>
#include <span>
#include <utility>

#include "agent/profiler/cgroup_path.hpp"
#include "agent/profiler/text_field.hpp"
#include "common/text/printable.hpp"

namespace optipod::agent {
namespace {

/// What was not found (a name whose log appears after its cgroup, a slot that rests) is looked for
/// again after one tick, then less and less often.
constexpr std::uint64_t kLongestRetry = 8;

std::uint64_t now_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint32_t resting_room(std::uint32_t max_containers) {
  return std::max(64u, max_containers / 2);
}

}  // namespace

std::uint32_t slots_needed(std::uint32_t max_containers) {
  return kFirstSlot + max_containers + resting_room(max_containers);
}

Sampler::Sampler(SamplerOptions options, KernelSource& kernel)
    : options_(std::move(options)),
      kernel_(kernel),
      names_(options_.pods_directory),
      node_(options_.root, options_.cpus, options_.node_name),
      disks_(options_.root.path == "/"),
      pool_(slots_needed(options_.max_containers) - kFirstSlot) {
  struct stat info {};
  if (::stat(options_.root.directory().c_str(), &info) == 0) root_id_ = info.st_ino;
}

const CgroupValues* Sampler::values_of(std::uint64_t cgroup_id) const {
  const auto found = index_.find(cgroup_id);
  return found == index_.end() ? nullptr : &values_[found->second];
}

void Sampler::sample(shm::Tick& tick) {
  // Before slots get other names: a slot rests until the last pairs counted under the old one are
  // in.
  kernel_.take_pairs(pairs_);
  neighbours_.add(pairs_);
  tell_kills();
  pool_.settle(tick_, [this](Slot slot) { kernel_.reset_slot(slot); });
  const std::uint64_t boottime = now_ns(CLOCK_BOOTTIME), realtime = now_ns(CLOCK_REALTIME);
  tick.containers.clear();
  hear_of_new();
  kernel_.take_up();
  const bool have_values = read_values();
  const bool names_changed = names_.refresh();
  const bool changed = tree_changed(have_values) || looked_;
  looked_ = false;
  if ((changed && !(have_values && scanned_is_current())) || names_changed) {
    retry_ = 1;
    rescan();
    if (have_values) read_values();  // what is new has values from its first tick on
  } else if (unsettled_ && tick_ >= scanned_ + retry_) {
    retry_ = std::min(2 * retry_, kLongestRetry);
    rescan();
  }
  count_short_lived();

  for (auto& [id, live] : live_) {
    live.record.valid = 0;
    read_slot(live);
    live.sampler.sample(values_of(id), tick_, live.record);
    tick.containers.push_back(live.record);
  }
  for (const shm::ContainerRecord& record : last_records_) {
    if (tick.containers.size() < options_.max_containers) {
      tick.containers.push_back(record);
    } else if (record.first_tick == tick_) {  // it came and went since the last tick
      ++cuts_[shm::kOverLimit];
    }
  }
  last_records_.clear();

  node_.sample(values_of(root_id_), tick.node);
  SlotValues node = kernel_.node_values();
  tick.node.cpu = node.cpu;
  tick.node.scheduler = node.scheduler;
  // Where the kernel keeps a count for the whole machine, that is the node's.
  if ((tick.node.valid & shm::kValidPageFaults) != 0)
    std::copy_n(tick.node.memory.page_faults, shm::kFaultKinds, node.memory.page_faults);
  if ((tick.node.valid & shm::kValidOomKills) != 0)
    node.memory.oom_kills = tick.node.memory.oom_kills;
  tick.node.memory = node.memory;
  tick.node.files = node.files;
  tick.node.tcp = node.tcp;
  tick.node.hardware = node.hardware;
  std::copy_n(node.far_migrations, shm::kFarMigrations, tick.node.far_migrations);
  tick.node.valid |=
      kernel_.valid() &
      ((kSlotValid & ~(shm::kValidIrqStolen | shm::kValidAllocations)) | shm::kValidNeighbours);
  sample_cpus(tick.node);
  sample_neighbours(tick);
  tick.node.sampled_boottime_ns = boottime;
  tick.node.sampled_realtime_ns = realtime;
  tick.node.containers_cut = cut_.size();
  if (kernel_.made_fd() >= 0) tick.node.valid |= shm::kValidShortLived;
  sample_devices(tick.devices);
  if ((kernel_.valid() & shm::kValidPacketDrops) != 0) {
    drops_.tell(kernel_.drops(), tick.node);
    tick.node.valid |= shm::kValidPacketDrops;
  }
  for (const std::string& failure : kernel_.take_failures()) errors_.add(failure);
  ++tick_;
}

void Sampler::sample_devices(std::vector<shm::DeviceRecord>& devices) {
  if ((kernel_.valid() & shm::kValidBlockIo) == 0) return disks_.sample(devices);
  devices.clear();
  for (const Device& device : kernel_.devices()) {
    shm::DeviceRecord record{};
    record.valid = shm::kValidBlockIo | shm::kValidBlockBytes;
    record.major = device.major;
    record.minor = device.minor;
    record.block = device.block;
    set_text(record.name, node_.device_name(device.major, device.minor));
    devices.push_back(record);
  }
}

bool Sampler::look_for_new() {
  if (!hear_of_new()) return false;
  tell_kills();  // before their containers are found to be gone
  names_.refresh();
  rescan();
  count_short_lived();
  looked_ = true;
  return true;
}

/// Each kill is an event of its own in the log; the counters say how many there were.
void Sampler::tell_kills() {
  constexpr std::size_t kMost = 10;  // a fork bomb dies a thousand deaths
  kernel_.take_kills(kills_);
  for (const OomKill& kill : std::span(kills_).first(std::min(kills_.size(), kMost)))
    spdlog::warn("out of memory: {} (pid {}) of {} was killed", text::printable(kill.command),
                 kill.pid, name_of(kill.slot));
  if (kills_.size() > kMost)
    spdlog::warn("out of memory: {} more were killed", kills_.size() - kMost);
}

std::string Sampler::name_of(Slot slot) const {
  for (const auto& [id, live] : live_) {
    const Entry& entry = live.entry;
    if (live.slot != slot) continue;
    if (entry.namespace_.empty()) return entry.container;
    return entry.namespace_ + "/" + entry.pod + "/" + entry.container;
  }
  return "no container";
}

/// Takes the news of new cgroups, except those that a scan has met before the news came.
bool Sampler::hear_of_new() {
  kernel_.take_made(heard_);
  for (MadeCgroup& made : heard_)
    if (!known_.contains(made.id)) made_.push_back(std::move(made));
  return !heard_.empty();
}

/// Of those heard of, the last scan met all that were still there. A sandbox cannot be told from
/// its container by its path, so it counts, too.
void Sampler::count_short_lived() {
  const auto is_level = [this](const std::string& path) {
    return std::any_of(made_.begin(), made_.end(),
                       [&](const MadeCgroup& m) { return m.path.starts_with(path + "/"); });
  };
  for (const MadeCgroup& made : made_) {
    if (known_.contains(made.id)) continue;
    const CgroupPath path = parse_cgroup_path(made.path);
    const bool container =
        path.kind == CgroupPath::Kind::kContainer && path_depth(made.path) == path.container_depth;
    const bool service = path.kind == CgroupPath::Kind::kSystem && !is_level(made.path);
    if (container || service) ++cuts_[shm::kShortLived];
  }
  made_.clear();
}

void Sampler::sample_cpus(shm::NodeRecord& node) const {
  // A subtree without CPUs of its own shares them, and what happens there is nobody's.
  if (options_.root.path != "/" && options_.cpus.empty()) return;
  const InterruptValues irqs = kernel_.interrupts();
  std::copy(std::begin(irqs.softirq_ns), std::end(irqs.softirq_ns), node.softirq_ns);
  node.hardirq_ns = irqs.hardirq_ns;
  node.queue_lengths = kernel_.queue_lengths();
  node.valid |=
      kernel_.valid() & (shm::kValidSoftirq | shm::kValidHardirq | shm::kValidQueueLengths);
}

void Sampler::sample_neighbours(shm::Tick& tick) {
  neighbours_.tell(tick.neighbours);
  tick.node.neighbours_untold = kernel_.pairs_untold() + neighbours_.untold();
}

bool Sampler::read_values() {
  const bool read = kernel_.read_cgroups(values_);
  if (!read) values_.clear();
  index_.clear();
  for (std::size_t i = 0; i < values_.size(); ++i) index_.emplace(values_[i].cgroup_id, i);
  return read;
}

bool Sampler::tree_changed(bool have_values) {
  // Without the iterator files are read per cgroup anyway; looking at the tree adds little.
  if (!have_values) return true;
  bool same = walked_.size() == values_.size();
  for (std::size_t i = 0; same && i < values_.size(); ++i) {
    same = walked_[i] == values_[i].cgroup_id;
  }
  if (same) return false;
  walked_.clear();
  for (const CgroupValues& values : values_) walked_.push_back(values.cgroup_id);
  return true;
}

/// Whether the last scan found just what the iterator has found now.
bool Sampler::scanned_is_current() const {
  return values_.size() == known_.size() &&
         std::all_of(values_.begin(), values_.end(),
                     [&](const CgroupValues& v) { return known_.contains(v.cgroup_id); });
}

void Sampler::rescan() {
  const auto tree = walk_cgroups(options_.root.directory());
  auto [entries, settled] = plan_entries(tree, options_.root.path, names_);
  std::unordered_map<std::uint64_t, std::size_t> wanted;
  for (std::size_t i = 0; i < entries.size(); ++i) wanted.emplace(entries[i].cgroup_id, i);
  std::unordered_set<std::uint64_t> present;
  for (const CgroupDir& dir : tree) present.insert(dir.id);
  const bool first = scanned_ == 0 && known_.empty();

  for (auto it = live_.begin(); it != live_.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    retire(it->second);
    it = live_.erase(it);
  }
  unsettled_ = !settled;
  std::vector<Entry> fresh;
  for (Entry& entry : entries) {
    if (const auto live = live_.find(entry.cgroup_id); live != live_.end()) {
      update(live->second, std::move(entry));
    } else {
      fresh.push_back(std::move(entry));
    }
  }
  // Where there is not room for all: containers before services, older before younger.
  std::sort(fresh.begin(), fresh.end(), [](const Entry& a, const Entry& b) {
    return std::pair(!a.kubernetes, a.cgroup_id) < std::pair(!b.kubernetes, b.cgroup_id);
  });
  if (first) known_ = present;  // these were there before the agent
  std::unordered_set<std::uint64_t> cut;
  for (Entry& entry : fresh) {
    const std::uint64_t id = entry.cgroup_id;
    if (admit(std::move(entry))) continue;
    cut.insert(id);
    if (!cut_.contains(id)) ++cuts_[shm::kOverLimit];
  }
  cut_ = std::move(cut);
  unsettled_ = unsettled_ || !cut_.empty();
  known_ = std::move(present);
  scanned_ = tick_;
}

void Sampler::charge(const Entry::Member& member, Slot slot) {
  const shm::Fd fd(::open((options_.root.directory() + member.path).c_str(),
                          O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  // Gone, or another one has its place: the next look will say so.
  if (!fd || ::fstat(fd.get(), &info) != 0 || info.st_ino != member.id) {
    kernel_.forget(member.id);
    return;
  }
  if (const auto charged = kernel_.assign(fd.get(), member.id, slot); !charged)
    errors_.add(charged.error());
}

void Sampler::retire(Live& live) {
  for (const Entry::Member& member : live.entry.members) charge(member, kNodeOther);
  // Once more, with what happened since the last look: its files are gone, its slot is not.
  read_slot(live);
  live.record.valid &= ~static_cast<std::uint64_t>(shm::kValidMemory | shm::kValidMemoryDetail |
                                                   shm::kValidMemoryLimit);
  last_records_.push_back(live.record);
  neighbours_.drop(live.slot);
  pool_.give_back(live.slot, tick_);
}

void Sampler::update(Live& live, Entry entry) {
  for (const Entry::Member& member : live.entry.members) {
    if (std::find(entry.members.begin(), entry.members.end(), member) == entry.members.end()) {
      charge(member, kNodeOther);
    }
  }
  for (const Entry::Member& member : entry.members) {
    const auto& old = live.entry.members;
    if (std::find(old.begin(), old.end(), member) == old.end()) charge(member, live.slot);
  }
  live.entry = std::move(entry);
  write_identity(live);
}

/// False: there is no room.
bool Sampler::admit(Entry entry) {
  const auto slot = live_.size() < options_.max_containers ? pool_.take() : std::optional<Slot>();
  if (!slot) return false;
  for (const Entry::Member& member : entry.members) charge(member, *slot);
  const std::uint64_t id = entry.cgroup_id;
  EntrySampler sampler(options_.root.directory() + entry.path, !known_.contains(id));
  Live live{.entry = std::move(entry), .slot = *slot, .sampler = std::move(sampler)};
  live.record.cgroup_id = id;
  live.record.first_tick = tick_;
  neighbours_.name(*slot, {id, tick_});
  write_identity(live);
  live_.emplace(id, std::move(live));
  return true;
}

void Sampler::read_slot(Live& live) {
  const SlotValues values = kernel_.slot_values(live.slot);
  live.record.cpu = values.cpu;
  live.record.block = values.block;
  live.record.memory = values.memory;
  live.record.files = values.files;
  live.record.tcp = values.tcp;
  live.record.scheduler = values.scheduler;
  live.record.irq_stolen_ns = values.irq_stolen_ns;
  live.record.hardware = values.hardware;
  std::copy_n(values.far_migrations, shm::kFarMigrations, live.record.far_migrations);
  live.record.memory_allocated_bytes = values.allocated_bytes;
  live.record.valid |= kernel_.valid() & kSlotValid;
}

void Sampler::write_identity(Live& live) {
  const Entry& entry = live.entry;
  set_text(live.record.namespace_, entry.namespace_);
  set_text(live.record.pod, entry.pod);
  set_text(live.record.container, entry.container);
  set_text(live.record.pod_uid, entry.pod_uid);
  set_text(live.record.container_id, entry.container_id);
  set_text(live.record.qos, entry.qos);
}

}  // namespace optipod::agent
