// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel_source.hpp"

namespace optipod::agent {
namespace {

class RealKernel final : public KernelSource {
 public:
  explicit RealKernel(Kernel kernel) : kernel_(std::move(kernel)) {}
  std::uint64_t valid() const override { return kernel_.valid(); }
  const std::vector<shm::AgentRecord::Feature>& features() const override {
    return kernel_.features();
  }
  std::vector<ProgramCounts> programs() const override { return kernel_.programs(); }
  std::array<std::uint64_t, shm::kDropKinds> dropped() const override { return kernel_.dropped(); }
  tl::expected<void, std::string> assign(int cgroup_fd, std::uint64_t id, Slot slot) override {
    return kernel_.assign(cgroup_fd, id, slot);
  }
  void forget(std::uint64_t cgroup_id) override { kernel_.forget(cgroup_id); }
  void reset_slot(Slot slot) override { kernel_.reset_slot(slot); }
  void take_up() override { kernel_.take_up(); }
  void open_window(bool open) override { kernel_.open_window(open); }
  SlotValues slot_values(Slot slot) const override { return kernel_.slot_values(slot); }
  SlotValues node_values() const override { return kernel_.node_values(); }
  InterruptValues interrupts() const override { return kernel_.interrupts(); }
  shm::QueueLengths queue_lengths() const override { return kernel_.queue_lengths(); }
  void take_pairs(std::vector<PairCount>& out) override { kernel_.take_pairs(out); }
  std::uint64_t pairs_untold() const override { return kernel_.pairs_untold(); }
  std::vector<Device> devices() const override { return kernel_.devices(); }
  int made_fd() const override { return kernel_.made_fd(); }
  void take_made(std::vector<MadeCgroup>& out) override { kernel_.take_made(out); }
  void take_kills(std::vector<OomKill>& out) override { kernel_.take_kills(out); }
  std::vector<DropCount> drops() const override { return kernel_.drops(); }
  bool read_cgroups(std::vector<CgroupValues>& out) override { return kernel_.read_cgroups(out); }
  std::vector<std::string> take_failures() override { return kernel_.take_failures(); }

 private:
  Kernel kernel_;
};

}  // namespace

std::unique_ptr<KernelSource> make_kernel_source(Kernel kernel) {
  return std::make_unique<RealKernel>(std::move(kernel));
}

}  // namespace optipod::agent
