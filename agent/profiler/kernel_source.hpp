// SPDX-License-Identifier: Apache-2.0
//
// The seam between the sampler and the kernel: kernel.hpp's Kernel behind an interface, so that
// everything above it is tested without one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/profiler/kernel.hpp"

namespace optipod::agent {

/// As Kernel, method by method.
class KernelSource {
 public:
  virtual ~KernelSource() = default;
  [[nodiscard]] virtual std::uint64_t valid() const = 0;
  [[nodiscard]] virtual const std::vector<shm::AgentRecord::Feature>& features() const = 0;
  [[nodiscard]] virtual std::vector<ProgramCounts> programs() const = 0;
  [[nodiscard]] virtual std::array<std::uint64_t, shm::kDropKinds> dropped() const { return {}; }
  virtual tl::expected<void, std::string> assign(int cgroup_fd, std::uint64_t id, Slot slot) = 0;
  virtual void forget(std::uint64_t cgroup_id) = 0;
  virtual void reset_slot(Slot slot) = 0;
  virtual void take_up() = 0;
  virtual void open_window(bool open) = 0;
  [[nodiscard]] virtual SlotValues slot_values(Slot slot) const = 0;
  [[nodiscard]] virtual SlotValues node_values() const = 0;
  [[nodiscard]] virtual InterruptValues interrupts() const = 0;
  [[nodiscard]] virtual shm::QueueLengths queue_lengths() const = 0;
  virtual void take_pairs(std::vector<PairCount>& out) = 0;
  [[nodiscard]] virtual std::uint64_t pairs_untold() const = 0;
  [[nodiscard]] virtual std::vector<Device> devices() const = 0;
  /// Without: nobody tells.
  [[nodiscard]] virtual int made_fd() const { return -1; }
  virtual void take_made(std::vector<MadeCgroup>& out) { out.clear(); }
  virtual void take_kills(std::vector<OomKill>& out) { out.clear(); }
  [[nodiscard]] virtual std::vector<DropCount> drops() const = 0;
  virtual bool read_cgroups(std::vector<CgroupValues>& out) = 0;
  virtual std::vector<std::string> take_failures() { return {}; }
};

std::unique_ptr<KernelSource> make_kernel_source(Kernel kernel);

}  // namespace optipod::agent
