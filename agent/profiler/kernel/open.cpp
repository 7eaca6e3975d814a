// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/open.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <system_error>

#include "agent/profiler/kernel/cpu_places.hpp"
#include "agent/profiler/kernel/impl.hpp"
#include "agent/profiler/kernel/libbpf_log.hpp"

namespace optipod::agent {

/// Builds an Impl step by step: what fails is taken off the probes, and the rest planned anew.
class KernelOpener {
 public:
  KernelOpener(const KernelOptions& options, kernel::Probes probes)
      : options_(options), probes_(std::move(probes)), impl_(std::make_unique<Kernel::Impl>()) {}

  tl::expected<Kernel, std::string> run() {
    if (auto ok = look_around(); !ok) return tl::unexpected(ok.error());
    if (probes_.wanted && probes_.refused.empty() && probes_.btf && probes_.mmapable) load();
    finish();
    return Kernel(std::move(impl_));
  }

 private:
  tl::expected<void, std::string> look_around();
  void load();
  bool make_table();
  void load_cgroup();
  void load_cpu();
  void load_block();
  void load_memory();
  void load_tasks();
  void load_tcp();
  void load_irq();
  void load_queues();
  void load_drops();
  void load_counters();
  void load_allocations();
  void give_storage_to_existing();
  void finish();
  /// Keeps libbpf's words, and makes a reason that fits a feature's source.
  std::string failed(const std::string& what);

  const KernelOptions& options_;
  kernel::Probes probes_;
  std::unique_ptr<Kernel::Impl> impl_;
  kernel::LibbpfLog log_;
  kernel::Layout layout_;
  int table_fd_ = -1;

 public:
  KernelOpener(const KernelOpener&) = delete;
  KernelOpener& operator=(const KernelOpener&) = delete;
  ~KernelOpener() {
    if (table_fd_ >= 0) ::close(table_fd_);
  }
};

tl::expected<void, std::string> KernelOpener::look_around() {
  Kernel::Impl& impl = *impl_;
  const std::filesystem::path below =
      std::filesystem::path(options_.cgroup_root).relative_path().lexically_normal();
  const bool top = below.empty() || below == ".";
  impl.root_path = top ? options_.cgroup_mount : (options_.cgroup_mount / below).string();
  impl.whole_machine = top;
  struct stat info {};
  if (::stat(impl.root_path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return tl::unexpected("cgroup root " + impl.root_path + ": " +
                          (errno != 0 ? std::strerror(errno) : "not a directory") +
                          "; give an existing cgroup v2 directory");
  layout_.root_id = info.st_ino;
  // Where the hierarchy's own root is not mounted this is too little; the first walk corrects it.
  layout_.root_level =
      top ? 0 : static_cast<std::uint32_t>(std::distance(below.begin(), below.end()));
  const int possible = libbpf_num_possible_cpus();
  layout_.possible_cpus = possible > 0 ? static_cast<std::uint32_t>(possible) : 1;
  impl.cpus = options_.cpus;
  if (impl.cpus.empty()) {
    impl.cpus.resize(layout_.possible_cpus);
    std::iota(impl.cpus.begin(), impl.cpus.end(), 0U);
  }
  std::sort(impl.cpus.begin(), impl.cpus.end());
  impl.cpus.erase(std::unique(impl.cpus.begin(), impl.cpus.end()), impl.cpus.end());
  if (impl.cpus.back() >= layout_.possible_cpus)
    return tl::unexpected("CPU " + std::to_string(impl.cpus.back()) +
                          " does not exist: this machine has 0 to " +
                          std::to_string(layout_.possible_cpus - 1));
  impl.slots = std::max(options_.max_slots, kFirstSlot);
  impl.used.assign(impl.slots, false);
  layout_.slots = impl.slots;
  layout_.table_bits = static_cast<std::uint32_t>(
      std::bit_width(std::bit_ceil(std::max(4096U, 4 * impl.slots)) - 1));
  return {};
}

std::string KernelOpener::failed(const std::string& what) {
  const int cause = errno;
  constexpr std::size_t kKept = 2000;  // the end of a verifier log is where it stands
  const std::string said = log_.take();
  impl_->diagnostics += what + '\n' + said.substr(said.size() > kKept ? said.size() - kKept : 0);
  const char* words = std::strerror(cause);
  return std::string("load failed: ") + (cause != 0 ? words : "?");
}

void KernelOpener::load() {
  if (!make_table()) {
    probes_.refused = failed("making the slot table");
    return;
  }
  load_cgroup();
  load_cpu();
  load_block();
  load_memory();
  load_tasks();
  load_tcp();
  load_irq();
  load_queues();
  load_drops();
  load_counters();
  load_allocations();
}

bool KernelOpener::make_table() {
  bpf_map_create_opts options{};
  options.sz = sizeof options;
  options.map_flags = BPF_F_MMAPABLE;
  const std::uint32_t entries = 1U << layout_.table_bits;
  table_fd_ = bpf_map_create(BPF_MAP_TYPE_ARRAY, "slot_table", sizeof(std::uint32_t),
                             sizeof(bpf::SlotEntry), entries, &options);
  if (table_fd_ < 0) return false;
  auto memory = kernel::Mapping<bpf::SlotEntry>::open(table_fd_, entries, true);
  if (!memory) return false;
  impl_->table_memory = std::move(*memory);
  impl_->table = kernel::SlotTable(impl_->table_memory.values(), layout_.table_bits);
  layout_.table_fd = table_fd_;
  return true;
}

void KernelOpener::load_cgroup() {
  const kernel::Probes all = probes_;
  // Best first: both the walk and the storage, the storage alone, the walk alone, neither.
  for (int without = 0; without < 4; ++without) {
    probes_.cgroup_iter = all.cgroup_iter && (without & 1) == 0;
    probes_.cgroup_storage = all.cgroup_storage && (without & 2) == 0;
    const kernel::Plan plan = kernel::plan(probes_);
    if (!plan.iterator && !plan.storage) return;
    auto loaded = kernel::CgroupPrograms::load(plan, layout_, impl_->root_path);
    if (!loaded) {
      probes_.iterator_failed = failed(loaded.error());
      continue;
    }
    impl_->cgroup = std::move(*loaded);
    if (plan.iterator && impl_->cgroup->walk()) {
      layout_.root_level = static_cast<std::uint32_t>(std::max(0, impl_->cgroup->root_level()));
    } else {
      impl_->cgroup->set_root_level(layout_.root_level);
    }
    return;
  }
}

void KernelOpener::load_cpu() {
  const auto places = kernel::cpu_places(layout_.possible_cpus, options_.devices);
  probes_.cpu_places = !places.empty();
  for (;;) {
    const kernel::Plan plan = kernel::plan(probes_);
    if (plan.sched_switch == kernel::Plan::Hook::kNone) return;
    const int storage = plan.storage ? impl_->cgroup->storage_fd() : -1;
    auto loaded = kernel::CpuPrograms::load(plan, layout_, storage, places);
    if (loaded) {
      impl_->cpu = std::move(*loaded);
      impl_->storage_fd = storage;
      if (storage >= 0) give_storage_to_existing();
      return;
    }
    probes_.switch_failed = failed(loaded.error());
    if (plan.storage) {
      probes_.cgroup_storage = false;
    } else if (plan.sched_switch == kernel::Plan::Hook::kTpBtf) {
      probes_.tp_btf = false;
    } else {
      probes_.raw_tp = false;
    }
  }
}

void KernelOpener::load_block() {
  for (;;) {
    const kernel::Plan plan = kernel::plan(probes_);
    if (plan.block == kernel::Plan::BlockStart::kNone) return;
    auto loaded = kernel::BlockPrograms::load(plan, layout_);
    if (loaded) {
      impl_->block = std::move(*loaded);
      return;
    }
    const std::string reason = failed(loaded.error());
    if (plan.block == kernel::Plan::BlockStart::kIoStart) {
      probes_.block_io_start = false;
    } else if (plan.block == kernel::Plan::BlockStart::kInsert) {
      probes_.block_rq_merge = false;
    } else {
      probes_.block_failed = reason;
    }
  }
}

void KernelOpener::load_memory() {
  const kernel::Plan plan = kernel::plan(probes_);
  if (!plan.reclaim && !plan.oom_kills) return;
  if (auto loaded = kernel::MemoryPrograms::load(plan, layout_)) {
    impl_->memory = std::move(*loaded);
  } else {
    probes_.memory_failed = failed(loaded.error());
  }
}

void KernelOpener::load_tasks() {
  for (;;) {
    const kernel::Plan plan = kernel::plan(probes_);
    if (plan.tasks == kernel::Plan::TaskWalk::kNone) return;
    auto loaded = kernel::TaskPrograms::load(plan, layout_);
    if (loaded) {
      impl_->tasks = std::move(*loaded);
      return;
    }
    const std::string reason = failed(loaded.error());
    if (plan.tasks == kernel::Plan::TaskWalk::kAll && probes_.task_walk && probes_.host_pids) {
      probes_.task_iter = false;
    } else {
      probes_.task_failed = reason;
    }
  }
}

void KernelOpener::load_tcp() {
  for (;;) {
    const kernel::Plan plan = kernel::plan(probes_);
    if (!plan.tcp && !plan.tcp_retransmits) return;
    auto loaded = kernel::TcpPrograms::load(plan, layout_);
    if (loaded) {
      impl_->tcp = std::move(*loaded);
      return;
    }
    const std::string reason = failed(loaded.error());
    if (plan.tcp && plan.tcp_retransmits) {
      probes_.socket_storage = false;
    } else {
      probes_.tcp_failed = reason;
    }
  }
}

void KernelOpener::load_irq() {
  for (;;) {
    const kernel::Plan plan = kernel::plan(probes_);
    if (plan.interrupts == kernel::Plan::Hook::kNone) return;
    auto loaded = kernel::IrqPrograms::load(plan, layout_);
    if (loaded) {
      impl_->irq = std::move(*loaded);
      return;
    }
    probes_.irq_failed = failed(loaded.error());
  }
}

void KernelOpener::load_queues() {
  if (!kernel::plan(probes_).queue_lengths) return;
  if (auto loaded = kernel::QueuePrograms::load(layout_)) {
    impl_->queues = std::move(*loaded);
  } else {
    probes_.queue_failed = failed(loaded.error());
  }
}

void KernelOpener::load_drops() {
  if (!kernel::plan(probes_).drops) return;
  if (auto loaded = kernel::DropPrograms::load(layout_)) {
    impl_->drops = std::move(*loaded);
  } else {
    probes_.drop_failed = failed(loaded.error());
  }
}

void KernelOpener::load_counters() {
  if (!kernel::plan(probes_).counters) return;
  auto loaded = kernel::CounterPrograms::load(layout_, impl_->cpus, options_.counter_events);
  if (loaded) {
    impl_->counters = std::move(*loaded);
    return;
  }
  const int cause = errno;
  probes_.counters_failed = failed(loaded.error());
  // What perf_event_open(2) says where the machine, or its hypervisor, has none.
  if (cause == ENOENT || cause == EOPNOTSUPP || cause == ENODEV || cause == ENOSYS)
    probes_.counters_failed = "no hardware counters";
}

void KernelOpener::load_allocations() {
  if (!kernel::plan(probes_).allocations) return;
  if (auto loaded = kernel::AllocationPrograms::load(layout_)) {
    impl_->allocations = std::move(*loaded);
  } else {
    probes_.allocations_failed = failed(loaded.error());
  }
}

/// The mkdir hook is attached already: whatever is not found here was made after it.
void KernelOpener::give_storage_to_existing() {
  const auto give = [this](const std::filesystem::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;  // gone meanwhile
    const Slot slot = kNodeOther;
    bpf_map_update_elem(impl_->storage_fd, &fd, &slot, BPF_ANY);
    ::close(fd);
  };
  give(impl_->root_path);
  std::error_code error;
  std::filesystem::recursive_directory_iterator tree(
      impl_->root_path, std::filesystem::directory_options::skip_permission_denied, error);
  const std::filesystem::recursive_directory_iterator end;
  while (!error && tree != end) {
    if (tree->is_directory(error) && !error) give(tree->path());
    error.clear();
    tree.increment(error);
  }
}

void KernelOpener::finish() {
  Kernel::Impl& impl = *impl_;
  impl.plan = kernel::plan(probes_);
  for (const kernel::FeatureNote& note : impl.plan.features) {
    shm::AgentRecord::Feature feature{};
    const auto copy = [](auto& to, const std::string& from) {
      std::memcpy(to, from.data(), std::min(from.size(), sizeof to - 1));
    };
    copy(feature.name, note.name);
    copy(feature.source, note.source);
    feature.enabled = note.enabled ? 1 : 0;
    impl.features.push_back(feature);
  }
  if (impl.cpu) impl.valid |= shm::kValidPreemptions | shm::kValidSwitches | shm::kValidNeighbours;
  if (impl.cpu && impl.plan.migrations) impl.valid |= shm::kValidMigrations;
  if (impl.cpu && impl.plan.far_migrations) impl.valid |= shm::kValidFarMigrations;
  if (impl.cpu && impl.plan.throttled_wait) impl.valid |= shm::kValidThrottledWait;
  if (impl.cpu && impl.plan.wait) impl.valid |= shm::kValidRunqueueWait;
  if (impl.block)
    impl.valid |= shm::kValidBlockIo | shm::kValidBlockBytes | shm::kValidDroppedRequests;
  if (impl.memory && impl.plan.reclaim) impl.valid |= shm::kValidReclaimStall;
  if (impl.memory && impl.plan.oom_kills) impl.valid |= shm::kValidOomKills;
  if (impl.tasks) impl.valid |= shm::kValidPageFaults;
  if (impl.tasks && impl.plan.task_io) impl.valid |= shm::kValidFiles;
  if (impl.tcp && impl.plan.tcp_retransmits) impl.valid |= shm::kValidTcpRetransmits;
  if (impl.tcp && impl.plan.tcp) impl.valid |= shm::kValidTcp;
  if (impl.counters) impl.valid |= shm::kValidHardwareCounters;
  if (impl.counters && impl.counters->has_cache_misses()) impl.valid |= shm::kValidCacheMisses;
  if (impl.allocations) impl.valid |= shm::kValidAllocations;
  if (impl.queues) impl.valid |= shm::kValidQueueLengths;
  if (impl.drops) impl.valid |= shm::kValidPacketDrops;
  if (impl.irq && impl.plan.hardirqs) impl.valid |= shm::kValidHardirq;
  if (impl.irq && impl.plan.softirqs) impl.valid |= shm::kValidSoftirq;
  if (impl.irq && impl.plan.hardirqs && impl.plan.softirqs) impl.valid |= shm::kValidIrqStolen;
  const auto keep = [&impl](const auto& part) {
    if (!part) return;
    for (auto& program : part->programs()) impl.programs.push_back(program);
  };
  keep(impl.cgroup);
  keep(impl.cpu);
  keep(impl.block);
  keep(impl.memory);
  keep(impl.tasks);
  keep(impl.tcp);
  keep(impl.irq);
  keep(impl.queues);
  keep(impl.drops);
  keep(impl.counters);
  keep(impl.allocations);
}

namespace kernel {

tl::expected<Kernel, std::string> open(const KernelOptions& options, Probes probes) {
  return KernelOpener(options, std::move(probes)).run();
}

}  // namespace kernel
}  // namespace optipod::agent
