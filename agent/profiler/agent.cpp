// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/agent.hpp"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>

#include "agent/profiler/cgroup_root.hpp"
#include "agent/profiler/cpu_list.hpp"
#include "agent/profiler/duty_cycle.hpp"
#include "agent/profiler/interface_counters.hpp"
#include "agent/profiler/machine_counters.hpp"
#include "agent/profiler/sampler.hpp"
#include "agent/profiler/self_sampler.hpp"
#include "agent/profiler/syscall_filter.hpp"
#include "shm/layout.hpp"

namespace optipod::agent {
namespace {

using Clock = std::chrono::steady_clock;

std::string node_name(const Options& options) {
  if (!options.node_name.empty()) return options.node_name;
  if (const char* name = std::getenv("NODE_NAME"); name != nullptr && *name != '\0') return name;
  std::array<char, 256> host{};
  return ::gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "localhost";
}

/// True when another agent holds <dir of the segment>/agent.lock.
bool segment_is_held(const std::string& segment) {
  const auto slash = segment.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : segment.substr(0, slash);
  const shm::Fd lock(::open((directory + "/agent.lock").c_str(), O_RDONLY | O_CLOEXEC));
  return lock && shm::locked_for_writing(lock);
}

std::vector<shm::AgentRecord::Feature> file_features(const CgroupRoot& root,
                                                     const std::string& pods_directory) {
  std::string controllers = read_file(root.directory() + "/cgroup.controllers");
  if (!controllers.empty()) controllers.back() = ' ';
  controllers.insert(0, 1, ' ');
  const auto by_controller = [&](const char* feature, const std::string& controller) {
    const bool on = controllers.find(" " + controller + " ") != std::string::npos;
    return make_feature(feature, on ? "file" : "no " + controller + " controller on v2", on);
  };
  const bool pods = ::access(pods_directory.c_str(), R_OK | X_OK) == 0;
  auto features = MachineCounters(root.path == "/").features();
  features.push_back(InterfaceCounters(root.path == "/").feature());
  features.insert(features.end(),
                  {by_controller("cpu_throttling", "cpu"), by_controller("memory_usage", "memory"),
                   make_feature("container_names", pods ? "file" : "no pod logs readable", pods)});
  return features;
}

/// New cgroups are looked for at most so often, however many are made.
constexpr std::chrono::milliseconds kBetweenLooks{100};

/// Sleeps until `deadline`, but for a look at cgroups that are made meanwhile; true when stopping.
bool wait_for_tick(app::Stop& stop, Clock::time_point deadline, int made_fd, Sampler& sampler) {
  for (;;) {
    if (stop.wait_until(deadline, made_fd)) return true;
    if (Clock::now() >= deadline) return false;
    if (!sampler.look_for_new()) continue;
    if (stop.wait_until(std::min(deadline, Clock::now() + kBetweenLooks))) return true;
  }
}

/// Counters of the CPUs are few, and others may want them.
constexpr DutyCycle kCounting;

std::chrono::milliseconds running(Clock::time_point since) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - since);
}

/// Publishes until `stop`, on a grid of deadlines: work that takes long makes a tick late, not
/// every later one too.
void publish_loop(app::Stop& stop, const Options& options, KernelSource& kernel, Sampler& sampler,
                  const SelfSampler& self, shm::TickWriter& writer) {
  shm::Tick tick;
  std::uint64_t missed = 0, duration_ns = 0;
  const auto start = Clock::now();
  auto deadline = start;
  bool counting = false;
  do {
    const auto began = Clock::now();
    sampler.sample(tick);
    self.sample(tick);
    tick.agent.ticks_missed = missed;
    tick.agent.tick_duration_ns = duration_ns;
    tick.agent.errors = sampler.errors();
    std::copy_n(sampler.cuts(), shm::kCutReasons, tick.agent.container_cuts);
    writer.publish(tick);
    const bool count = options.hardware_counters && kCounting.open(running(start));
    if (count != counting) kernel.open_window(count);
    counting = count;
    const auto ended = Clock::now();
    duration_ns = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(ended - began).count());
    deadline += options.interval;
    if (ended > deadline) {
      const auto late = (ended - deadline) / options.interval + 1;
      missed += static_cast<std::uint64_t>(late);
      deadline += late * options.interval;
    }
  } while (!wait_for_tick(stop, deadline, kernel.made_fd(), sampler));
}

/// Closes the system calls that are not needed any more; says whether that worked.
shm::AgentRecord::Feature filter_syscalls(const Options& options) {
  if (options.no_seccomp) return make_feature("syscall_filter", "switched off", false);
  const auto limited = limit_syscalls(options.hardware_counters);
  return make_feature("syscall_filter", limited ? "seccomp" : limited.error(), limited.has_value());
}

void warn_of_missing(const char* where, std::span<const shm::AgentRecord::Feature> features) {
  for (const auto& feature : features) {
    if (feature.enabled == 0) spdlog::warn("{}: {}: {}", where, feature.name, feature.source);
  }
}

int usage(const std::string& what) {
  spdlog::error("{}", what);
  return app::kUsage;
}

int attached(app::Stop& stop, const Options& options, const CgroupRoot& root,
             std::vector<unsigned> cpus) {
  KernelOptions wanted{.cgroup_mount = root.mount, .cgroup_root = root.path, .cpus = cpus};
  wanted.max_slots = slots_needed(options.max_containers);
  wanted.force_files = options.no_ebpf;
  wanted.hardware_counters = options.hardware_counters;
  wanted.page_allocations = options.page_allocations;
  auto opened = Kernel::open(wanted);
  if (!opened) return usage(opened.error());
  if (!opened->diagnostics().empty()) spdlog::debug("{}", opened->diagnostics());
  const auto kernel = make_kernel_source(std::move(*opened));
  auto writer = shm::TickWriter::create({.path = options.segment,
                                         .interval = options.interval,
                                         .max_containers = options.max_containers,
                                         .max_devices = 64,
                                         .group = options.segment_group});
  if (!writer) {
    spdlog::error("{}", writer.error());
    return segment_is_held(options.segment) ? app::kAlreadyRunning : app::kFailure;
  }
  const auto became = drop_privileges(options.unprivileged);
  if (!became) {
    spdlog::error("{}", became.error());
    return app::kFailure;
  }
  // From here on without any right: what is not readable now never will be.
  const auto filter = filter_syscalls(options);
  auto features = file_features(root, options.pods_directory);
  features.push_back(filter);
  if ((kernel->valid() & shm::kValidBlockIo) == 0 && root.path == "/")
    features.push_back(make_feature("disk_stats", "file, no latency", true));
  Sampler sampler({.root = root,
                   .cpus = std::move(cpus),
                   .node_name = node_name(options),
                   .pods_directory = options.pods_directory,
                   .max_containers = options.max_containers},
                  *kernel);
  warn_of_missing("not on this kernel", kernel->features());
  warn_of_missing("not here", features);
  const SelfSampler self(*kernel, std::move(features));
  spdlog::info("{} published in {} every {} ms; {}", root.directory(), options.segment,
               options.interval.count(), *became);
  publish_loop(stop, options, *kernel, sampler, self, *writer);
  writer->close();
  return app::kOk;
}

}  // namespace

int run(app::Stop& stop, const Options& options) {
  if (options.print_abi) {
    std::printf("%s\n", shm::abi_identity().c_str());
    return app::kOk;
  }
  using namespace std::chrono_literals;
  if (options.interval < 10ms || options.interval > 60s) {
    return usage("--interval: from 10ms to 60s");
  }
  auto cpus = parse_cpu_list(options.cpus);
  if (!cpus) return usage("--cpus: " + cpus.error());
  if (const auto identity = find_identity(options.unprivileged); !identity) {
    return usage(identity.error());
  }
  const std::string mount = find_cgroup2_mount(read_file("/proc/self/mountinfo"));
  if (mount.empty()) {
    spdlog::error("no cgroup v2 hierarchy is mounted here; boot with it, or mount it");
    return app::kFailure;
  }
  const auto root = resolve_cgroup_root(mount, options.cgroup_root);
  if (!root) return usage(root.error());
  const auto lock = lock_cgroup_root(*root);
  if (!lock) {
    spdlog::error("{}", lock.error().message);
    return lock.error().held ? app::kAlreadyRunning : app::kFailure;
  }
  return attached(stop, options, *root, std::move(*cpus));
}

}  // namespace optipod::agent
