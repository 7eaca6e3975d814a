// SPDX-License-Identifier: Apache-2.0
//
// The agent's view of bpf/: probe what this kernel can do, load and attach that, hand out slots,
// read the counters. Nothing here knows about pods.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "shm/records.hpp"

namespace optipod::agent {

/// A cgroup's place in the kernel's [slot][cpu] arrays.
/// kOutside: tasks and I/O outside the agent's cgroup root. kNodeOther: inside it, without an own
/// slot.
using Slot = std::uint32_t;
inline constexpr Slot kOutside = 0;
inline constexpr Slot kNodeOther = 1;
inline constexpr Slot kFirstSlot = 2;

/// As perf_event_open(2) names what a CPU counts.
struct CounterEvent {
  std::uint32_t type = 0;
  std::uint64_t config = 0;
};

struct KernelOptions {
  std::string cgroup_mount;       ///< where the cgroup v2 hierarchy is mounted
  std::string cgroup_root = "/";  ///< subtree below it that is this node; "/" is the whole machine
  std::vector<unsigned> cpus;     ///< CPUs that count; empty: all possible
  std::uint32_t max_slots = 514;
  bool hardware_counters = false;               ///< of the CPUs, where there are some
  std::vector<CounterEvent> counter_events{};   ///< instead of the hardware's (tests)
  bool page_allocations = false;                ///< of each slot; a program on every allocation
  std::string devices = "/sys/devices/system";  ///< where CPUs and nodes are described
  bool force_raw_tp = false;  ///< use the raw_tp twins even where tp_btf works (tests)
  bool force_files = false;   ///< do not use eBPF at all (tests)
};

/// Cumulative values of one slot, summed over the CPUs that count.
struct SlotValues {
  shm::CpuStats cpu{};
  shm::BlockStats block{};
  shm::MemoryStats memory{};
  shm::FileStats files{};
  shm::TcpStats tcp{};
  shm::SchedulerStats scheduler{};
  std::uint64_t irq_stolen_ns = 0;
  shm::HardwareCounters hardware{};
  std::uint64_t far_migrations[shm::kFarMigrations] = {};
  std::uint64_t allocated_bytes = 0;
};

/// Interrupts on the CPUs that count.
struct InterruptValues {
  std::uint64_t softirq_ns[shm::kSoftirqVectors] = {};
  std::uint64_t hardirq_ns = 0;
};

/// Tasks of one slot that had to make way for tasks of another.
struct PairCount {
  Slot victim = kNodeOther, aggressor = kNodeOther;
  std::uint64_t preemptions = 0;
  std::uint64_t taken_ns = 0;  ///< how long those ran then, up to the next switch
};

/// The shm::Valid bits of SlotValues.
inline constexpr std::uint64_t kSlotValid =
    shm::kValidRunqueueWait | shm::kValidPreemptions | shm::kValidSwitches | shm::kValidBlockIo |
    shm::kValidReclaimStall | shm::kValidOomKills | shm::kValidPageFaults | shm::kValidFiles |
    shm::kValidTcpRetransmits | shm::kValidTcp | shm::kValidThrottledWait | shm::kValidMigrations |
    shm::kValidIrqStolen | shm::kValidBlockBytes | shm::kValidHardwareCounters |
    shm::kValidCacheMisses | shm::kValidFarMigrations | shm::kValidAllocations;

/// What a CPU quota did, as in cpu.stat.
struct CpuThrottling {
  std::uint64_t throttled_ns, periods, throttled_periods;
};

/// Values the kernel keeps per cgroup, read by the cgroup iterator.
struct CgroupValues {
  std::uint64_t cgroup_id = 0;
  std::uint64_t valid = 0;  ///< shm::Valid bits among kValid{CpuTime,Pressure*,Throttling}
  shm::CpuTime cpu_time{};
  shm::Pressure pressure{};
  CpuThrottling throttling{};
};

/// Packets the kernel threw away for a reason.
struct DropCount {
  std::string reason;  ///< "no_socket"; kOtherDropReason: has no name
  std::uint64_t packets = 0;
};
inline constexpr const char* kOtherDropReason = "other";

/// A process the OOM killer took.
struct OomKill {
  Slot slot = kOutside;
  std::uint32_t pid = 0;  ///< in the first pid namespace
  std::string command;
};

/// A cgroup that was made below the root.
struct MadeCgroup {
  std::uint64_t id = 0;
  std::string path;  ///< from the hierarchy's root, not the agent's
};

/// A program and what the kernel counts of it.
struct ProgramCounts : shm::AgentRecord::Program {
  /// Events it did not see, because they came while it ran on that CPU already; unknown: an older
  /// kernel, or one that does not say without a capability.
  std::optional<std::uint64_t> missed_runs;
};

struct Device {
  std::uint32_t major = 0, minor = 0;
  shm::BlockStats block{};
};

/// One thread. Needs CAP_BPF and CAP_PERFMON until open() has returned (CAP_SYS_ADMIN before Linux
/// 5.8); afterwards no method needs a capability. Where eBPF is refused altogether, open() still
/// succeeds with every eBPF feature off and the reason in features().
class Kernel {
 public:
  /// The error: `options` name a root or a CPU that is not there.
  static tl::expected<Kernel, std::string> open(const KernelOptions& options);
  Kernel(Kernel&&) noexcept;
  Kernel& operator=(Kernel&&) noexcept;
  ~Kernel();

  /// Which shm::Valid bits slot_values() and devices() can fill on this kernel.
  [[nodiscard]] std::uint64_t valid() const;
  [[nodiscard]] const std::vector<shm::AgentRecord::Feature>& features() const;
  /// What the loader and the verifier said about parts that failed, for a log; "" when none did.
  [[nodiscard]] const std::string& diagnostics() const;
  /// Programs loaded, with run counts where the kernel keeps them (kernel.bpf_stats_enabled).
  [[nodiscard]] std::vector<ProgramCounts> programs() const;
  /// What the programs had no room to count, by shm::DropKind.
  [[nodiscard]] std::array<std::uint64_t, shm::kDropKinds> dropped() const;

  /// Charges the cgroup (an open directory fd and its id) to `slot` from now on, and zeroes
  /// nothing: the caller takes the difference to the slot's values at this moment, which
  /// reset_slot() zeroes. A cgroup made inside the root later starts as kNodeOther by itself, in
  /// the kernel. A cgroup that was removed after the directory was opened is no error: there is
  /// nothing left to charge, and no entry of it stays.
  tl::expected<void, std::string> assign(int cgroup_fd, std::uint64_t cgroup_id, Slot slot);
  void forget(std::uint64_t cgroup_id);
  /// Zeroes a slot nobody is charged to any more, before it is handed out again.
  void reset_slot(Slot slot);

  /// Adds to the slots what living tasks and open connections counted since the last time. What
  /// ended meanwhile has been added already.
  void take_up();

  /// The counters of the CPUs count from now on, or no more; they do not at first. Nothing without
  /// them.
  void open_window(bool open);

  /// Readable when cgroups were made below the root since the last take_made(); -1 where the kernel
  /// does not tell. Not owned.
  [[nodiscard]] int made_fd() const;
  /// Replaces `out` with those made since the last call; no system call. When very many were made
  /// at once, some are missing.
  void take_made(std::vector<MadeCgroup>& out);

  /// Replaces `out` with the kills since the last call, before their slots are reset; no system
  /// call. Of very many at once some are missing here, none in the counts.
  void take_kills(std::vector<OomKill>& out);

  [[nodiscard]] SlotValues slot_values(Slot slot) const;
  /// Sum over all slots that belong to the node: every slot for root "/", all but kOutside else.
  [[nodiscard]] SlotValues node_values() const;
  [[nodiscard]] InterruptValues interrupts() const;
  /// On the CPUs that count, whosever tasks they are.
  [[nodiscard]] shm::QueueLengths queue_lengths() const;
  /// What was counted between the two calls before this one, per pair of slots: call it once a
  /// tick, before slots are reset, so that slots still mean what they meant then.
  void take_pairs(std::vector<PairCount>& out);
  /// Preemptions by another slot that no pair could be counted for, for want of room.
  [[nodiscard]] std::uint64_t pairs_untold() const;
  /// Devices that had I/O charged to the node.
  [[nodiscard]] std::vector<Device> devices() const;

  /// Since open(), those that happened at all; of the whole machine.
  [[nodiscard]] std::vector<DropCount> drops() const;

  /// One walk of the cgroup iterator below the root; false when this kernel has none (use files),
  /// or it could not be run.
  bool read_cgroups(std::vector<CgroupValues>& out);
  /// Walks that could not be run since the last call: over what, and why.
  std::vector<std::string> take_failures();

 private:
  struct Impl;
  friend class KernelOpener;
  explicit Kernel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::agent
