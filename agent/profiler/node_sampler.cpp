// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/node_sampler.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "agent/profiler/parse_stat.hpp"
#include "agent/profiler/text_field.hpp"

namespace optipod::agent {
namespace {

/// The machine's own pressure file, or (PSI only per cgroup) that of the root cgroup.
KeptFile open_pressure(const std::string& proc, const CgroupRoot& root, const std::string& what) {
  if (root.path == "/") {
    KeptFile machine(proc + "/pressure/" + what);
    if (!machine.read().empty()) return machine;
  }
  return KeptFile(root.directory() + "/" + what + ".pressure");
}

}  // namespace

NodeSampler::NodeSampler(CgroupRoot root, std::vector<unsigned> cpus, const std::string& node_name,
                         std::string proc, std::string sys)
    : root_(std::move(root)),
      whole_machine_(root_.path == "/"),
      cpus_(std::move(cpus)),
      proc_(std::move(proc)),
      sys_(std::move(sys)),
      cpu_stat_(root_.directory() + "/cpu.stat"),
      meminfo_(proc_ + "/meminfo"),
      pressure_{open_pressure(proc_, root_, "cpu"), open_pressure(proc_, root_, "memory"),
                open_pressure(proc_, root_, "io")},
      irq_(open_pressure(proc_, root_, "irq")),
      machine_(whole_machine_, proc_),
      interfaces_(whole_machine_, proc_, sys_) {
  if (!whole_machine_) {
    memory_current_ = KeptFile(root_.directory() + "/memory.current");
    memory_max_ = KeptFile(root_.directory() + "/memory.max");
    memory_stat_ = KeptFile(root_.directory() + "/memory.stat");
  }
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
  identity_.cpus = cpus_.empty() ? static_cast<std::uint64_t>(std::max(online, 1L)) : cpus_.size();
  set_text(identity_.node_name, node_name);
  set_text(identity_.cgroup_root, root_.path);
  struct utsname machine {};
  if (::uname(&machine) == 0) set_text(identity_.kernel_release, machine.release);
}

void NodeSampler::sample(const CgroupValues* root_values, shm::NodeRecord& node) {
  node = identity_;
  sample_cpu(root_values, node);
  sample_pressure(root_values, node);
  sample_memory(node);
  machine_.sample(node);
  interfaces_.sample(node);
}

void NodeSampler::sample_cpu(const CgroupValues* root_values, shm::NodeRecord& node) {
  std::optional<CpuModes> modes;
  if (whole_machine_) {
    // Not kept open: with thousands of CPUs it is larger than a KeptFile reads.
    modes = parse_proc_stat(read_file(proc_ + "/stat"), cpus_,
                            static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
    if (modes) {
      for (std::size_t i = 0; i < shm::kCpuModes; ++i)
        node.cpu_mode_ns[i] = modes_[i](modes->ns[i]);
      node.valid |= shm::kValidCpuModes;
    }
  }
  if (root_values != nullptr && !whole_machine_ && (root_values->valid & shm::kValidCpuTime) != 0) {
    node.cpu_time = cpu_time_(root_values->cpu_time);
    node.valid |= shm::kValidCpuTime;
    return;
  }
  // cpu.stat is of all CPUs: some of them only /proc/stat tells apart.
  if (!whole_machine_ || cpus_.empty()) {
    if (const auto file = parse_cpu_stat(cpu_stat_.read()); file.time) {
      node.cpu_time = cpu_time_(*file.time);
      node.valid |= shm::kValidCpuTime;
      return;
    }
  }
  if (modes) {
    const auto& ns = modes->ns;
    const std::uint64_t user = ns[shm::kUser] + ns[shm::kNice];
    const std::uint64_t system = ns[shm::kSystem] + ns[shm::kIrq] + ns[shm::kSoftirq];
    node.cpu_time = cpu_time_({user + system, user, system});
    node.valid |= shm::kValidCpuTime;
  }
}

void NodeSampler::sample_pressure(const CgroupValues* root_values, shm::NodeRecord& node) {
  for (std::size_t i = 0; i < shm::kResources; ++i) {
    PressureFile now;
    if (!whole_machine_ && root_values != nullptr &&
        (root_values->valid & kPressureValid[i]) != 0) {
      now = {root_values->pressure.waiting_ns[i], root_values->pressure.stalled_ns[i]};
    } else if (const auto file = parse_pressure(pressure_[i].read()); file && file->waiting_ns) {
      now = *file;
    } else {
      continue;
    }
    node.pressure.waiting_ns[i] = pressure_since_.waiting[i](*now.waiting_ns);
    node.pressure.stalled_ns[i] = pressure_since_.stalled[i](now.stalled_ns);
    node.valid |= kPressureValid[i];
  }
  if (const auto irq = parse_pressure(irq_.read())) {
    node.pressure_irq_stalled_ns = irq_since_(irq->stalled_ns);
    node.valid |= shm::kValidPressureIrq;
  }
}

void NodeSampler::sample_memory(shm::NodeRecord& node) {
  const auto machine = parse_meminfo(meminfo_.read());
  if (!machine) return;
  node.memory_total_bytes = machine->total_bytes;
  node.memory_available_bytes = machine->available_bytes;
  // A subtree with a limit of its own has that much; without one it shares the machine's.
  const auto limit = parse_number_file(memory_max_.read());
  auto used = parse_number_file(memory_current_.read());
  if (limit && used) {
    // Page cache that nothing uses is taken back before anything has to wait.
    if (const auto stat = parse_memory_stat(memory_stat_.read()))
      used = working_set(*used, stat->inactive_file_bytes);
    node.memory_total_bytes = std::min(machine->total_bytes, *limit);
    node.memory_available_bytes =
        std::min(machine->available_bytes, *limit > *used ? *limit - *used : 0);
  }
  node.valid |= shm::kValidMemory;
}

std::string NodeSampler::device_name(std::uint32_t major, std::uint32_t minor) {
  const auto known = device_names_.find({major, minor});
  if (known != device_names_.end()) return known->second;
  const std::string number = std::to_string(major) + ":" + std::to_string(minor);
  std::error_code error;
  const auto target = std::filesystem::read_symlink(sys_ + "/dev/block/" + number, error);
  std::string name = error ? number : target.filename().string();
  if (!error && device_names_.size() < 4096) device_names_.emplace(std::pair(major, minor), name);
  return name;
}

}  // namespace optipod::agent
