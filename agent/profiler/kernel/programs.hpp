// SPDX-License-Identifier: Apache-2.0
//
// The eBPF objects of bpf/, each loaded, attached and mapped as a plan says. One object
// failing leaves the others alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "agent/profiler/kernel.hpp"
#include "agent/profiler/kernel/plan.hpp"
#include "bpf/shared.h"

namespace optipod::agent::kernel {

/// What all objects must agree on.
struct Layout {
  std::uint64_t root_id = 1;     ///< inode of the agent's cgroup root
  std::uint32_t root_level = 0;  ///< its depth in the hierarchy
  std::uint32_t slots = 2;
  std::uint32_t possible_cpus = 1;
  std::uint32_t table_bits = 4;  ///< the slot table has 2^bits entries
  int table_fd = -1;             ///< not owned
};

struct LoadedProgram {
  std::string name;
  int fd = -1;  ///< owned by the object it is part of
};

/// bpf/cgroup.bpf.c: the walk of the tree, and the storage of slots with its mkdir hook.
class CgroupPrograms {
 public:
  static tl::expected<CgroupPrograms, std::string> load(const Plan& plan, const Layout& layout,
                                                        const std::string& root_path);
  CgroupPrograms(CgroupPrograms&&) noexcept;
  CgroupPrograms& operator=(CgroupPrograms&&) noexcept;
  ~CgroupPrograms();

  /// Runs the iterator once. False: it could not be run.
  bool walk();
  /// What the last walk wrote.
  [[nodiscard]] std::span<const bpf::CgroupSample> samples() const;
  /// The root's depth as the last walk saw it; -1 before any.
  [[nodiscard]] int root_level() const;
  /// News of new cgroups for which there was no room.
  [[nodiscard]] std::uint64_t dropped() const;
  /// Lets the mkdir hook work without a walk.
  void set_root_level(std::uint32_t level);
  /// File descriptor of the cgroup storage; -1 without.
  [[nodiscard]] int storage_fd() const;
  /// As Kernel's.
  [[nodiscard]] int made_fd() const;
  void take_made(std::vector<MadeCgroup>& out);
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit CgroupPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/cpu.bpf.c.
class CpuPrograms {
 public:
  /// storage_fd: CgroupPrograms::storage_fd(), where the plan has storage.
  /// places: cpu_places(), where the plan tells far migrations.
  static tl::expected<CpuPrograms, std::string> load(const Plan& plan, const Layout& layout,
                                                     int storage_fd,
                                                     std::span<const std::uint32_t> places);
  CpuPrograms(CpuPrograms&&) noexcept;
  CpuPrograms& operator=(CpuPrograms&&) noexcept;
  ~CpuPrograms();

  /// Adds the slot's counters on these CPUs to `sum`.
  void add(Slot slot, std::span<const unsigned> cpus, shm::CpuStats& sum) const;
  void add(Slot slot, std::span<const unsigned> cpus, shm::SchedulerStats& sum) const;
  void add(Slot slot, std::span<const unsigned> cpus,
           std::uint64_t (&far_migrations)[shm::kFarMigrations]) const;
  void reset(Slot slot);
  /// As Kernel's.
  void take_pairs(std::span<const unsigned> cpus, std::vector<PairCount>& out);
  [[nodiscard]] std::uint64_t pairs_untold(std::span<const unsigned> cpus) const;
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit CpuPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/irq.bpf.c.
class IrqPrograms {
 public:
  static tl::expected<IrqPrograms, std::string> load(const Plan& plan, const Layout& layout);
  IrqPrograms(IrqPrograms&&) noexcept;
  IrqPrograms& operator=(IrqPrograms&&) noexcept;
  ~IrqPrograms();

  [[nodiscard]] InterruptValues sum(std::span<const unsigned> cpus) const;
  [[nodiscard]] std::uint64_t stolen_ns(Slot slot, std::span<const unsigned> cpus) const;
  void reset(Slot slot);
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit IrqPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/queue.bpf.c: run queue lengths.
class QueuePrograms {
 public:
  static tl::expected<QueuePrograms, std::string> load(const Layout& layout);
  QueuePrograms(QueuePrograms&&) noexcept;
  QueuePrograms& operator=(QueuePrograms&&) noexcept;
  ~QueuePrograms();

  [[nodiscard]] shm::QueueLengths sum(std::span<const unsigned> cpus) const;
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  static tl::expected<std::unique_ptr<State>, std::string> attempt(const Layout& layout,
                                                                   bool by_name);
  explicit QueuePrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/block.bpf.c.
class BlockPrograms {
 public:
  static tl::expected<BlockPrograms, std::string> load(const Plan& plan, const Layout& layout);
  BlockPrograms(BlockPrograms&&) noexcept;
  BlockPrograms& operator=(BlockPrograms&&) noexcept;
  ~BlockPrograms();

  /// Adds the slot's counters to `sum`, in-flight included.
  void add(Slot slot, shm::BlockStats& sum) const;
  /// Zeroes what has been counted. Requests still on their way stay in flight until they end.
  void reset(Slot slot);
  [[nodiscard]] std::vector<Device> devices() const;
  /// Requests for which there was no room.
  [[nodiscard]] std::uint64_t dropped() const;
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit BlockPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/memory.bpf.c: reclaim stalls and OOM kills.
class MemoryPrograms {
 public:
  static tl::expected<MemoryPrograms, std::string> load(const Plan& plan, const Layout& layout);
  MemoryPrograms(MemoryPrograms&&) noexcept;
  MemoryPrograms& operator=(MemoryPrograms&&) noexcept;
  ~MemoryPrograms();

  /// Adds the slot's counters to the sums.
  void add(Slot slot, shm::MemoryStats& sum) const;
  /// As Kernel's.
  void take_kills(std::vector<OomKill>& out);
  /// Stalls for which there was no room.
  [[nodiscard]] std::uint64_t dropped() const;
  void reset(Slot slot);
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit MemoryPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/task.bpf.c: reads, writes and page faults.
class TaskPrograms {
 public:
  static tl::expected<TaskPrograms, std::string> load(const Plan& plan, const Layout& layout);
  TaskPrograms(TaskPrograms&&) noexcept;
  TaskPrograms& operator=(TaskPrograms&&) noexcept;
  ~TaskPrograms();

  /// Takes up what living tasks counted since the last walk. False: it could not be run.
  bool walk();
  /// Adds the slot's counters to the sums.
  void add(Slot slot, shm::FileStats& files, shm::MemoryStats& memory) const;
  /// Looks at tasks for which there was no storage.
  [[nodiscard]] std::uint64_t dropped() const;
  void reset(Slot slot);
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit TaskPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/tcp.bpf.c.
class TcpPrograms {
 public:
  static tl::expected<TcpPrograms, std::string> load(const Plan& plan, const Layout& layout);
  TcpPrograms(TcpPrograms&&) noexcept;
  TcpPrograms& operator=(TcpPrograms&&) noexcept;
  ~TcpPrograms();

  /// Takes up what living connections counted since the last walk. False: it could not be run.
  bool walk();
  /// Adds the slot's counters to the sums.
  void add(Slot slot, shm::TcpStats& sum) const;
  /// Connections for which there was no storage.
  [[nodiscard]] std::uint64_t dropped() const;
  void reset(Slot slot);
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit TcpPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/pmu.bpf.c: what the CPUs' own counters counted, in windows.
class CounterPrograms {
 public:
  /// `events`: cycles, instructions and cache misses, or what stands for them; empty: the
  /// hardware's. The last one may be missing on the machine. The error leaves errno.
  static tl::expected<CounterPrograms, std::string> load(const Layout& layout,
                                                         std::span<const unsigned> cpus,
                                                         std::span<const CounterEvent> events);
  CounterPrograms(CounterPrograms&&) noexcept;
  CounterPrograms& operator=(CounterPrograms&&) noexcept;
  ~CounterPrograms();

  void open_window(bool open);
  [[nodiscard]] bool has_cache_misses() const;
  /// Adds the slot's counters on these CPUs to the sums.
  void add(Slot slot, std::span<const unsigned> cpus, shm::HardwareCounters& sum) const;
  void reset(Slot slot);
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit CounterPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/alloc.bpf.c: what the page allocator hands out.
class AllocationPrograms {
 public:
  static tl::expected<AllocationPrograms, std::string> load(const Layout& layout);
  AllocationPrograms(AllocationPrograms&&) noexcept;
  AllocationPrograms& operator=(AllocationPrograms&&) noexcept;
  ~AllocationPrograms();

  [[nodiscard]] std::uint64_t bytes(Slot slot) const;
  void reset(Slot slot);
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit AllocationPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// bpf/drop.bpf.c: packets thrown away.
class DropPrograms {
 public:
  static tl::expected<DropPrograms, std::string> load(const Layout& layout);
  DropPrograms(DropPrograms&&) noexcept;
  DropPrograms& operator=(DropPrograms&&) noexcept;
  ~DropPrograms();

  /// Of a reason by its number, below bpf::kDropReasonCount; on all CPUs.
  [[nodiscard]] std::uint64_t packets(std::size_t reason) const;
  [[nodiscard]] std::vector<LoadedProgram> programs() const;

 private:
  struct State;
  explicit DropPrograms(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace optipod::agent::kernel
