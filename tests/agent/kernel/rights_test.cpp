// SPDX-License-Identifier: Apache-2.0
//
// The agent's steady state has no capability at all; and a kernel that refuses eBPF is no error.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

/// Becomes nobody with these capabilities, a mask, and no way to get others.
bool keep_only(std::uint64_t capabilities) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
    return false;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(65534, 65534, 65534) != 0 ||
      ::setresuid(65534, 65534, 65534) != 0)
    return false;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct set[2]{};
  for (unsigned half = 0; half < 2; ++half)
    set[half].effective = set[half].permitted = static_cast<__u32>(capabilities >> (32 * half));
  if (::syscall(SYS_capset, &header, set) != 0) return false;
  const std::string status = read_file("/proc/self/status");
  char mask[17];
  std::snprintf(mask, sizeof mask, "%016llx", static_cast<unsigned long long>(capabilities));
  return status.find(std::string("CapEff:\t") + mask) != std::string::npos &&
         status.find(std::string("CapPrm:\t") + mask) != std::string::npos &&
         status.find("Uid:\t65534\t65534\t65534\t65534") != std::string::npos;
}

bool drop_everything() {
  return keep_only(0);
}

constexpr std::uint64_t bit(unsigned capability) {
  return std::uint64_t{1} << capability;
}

void sleep_often() {
  for (int i = 0; i < 300; ++i) ::usleep(300);
}

/// Everything the agent does per tick; the step that failed, or 0.
int steady_state(Kernel& kernel, const Cgroup& root, const Cgroup& group,
                 const std::string& later_path, const Worker& worker) {
  const auto voluntary = [&](Slot slot) {
    return kernel.slot_values(slot).cpu.switches[shm::kVoluntary];
  };
  if (!drop_everything()) return 1;
  if (!kernel.assign(group.fd(), group.id(), kFirstSlot)) return 2;
  // A cgroup that came after the start, opened by nobody.
  const int fd = ::open(later_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return 3;
  if (!kernel.assign(fd, 1, kFirstSlot + 1)) return 4;
  kernel.reset_slot(kFirstSlot);
  if (worker.pid() <= 0) return 5;
  for (int i = 0; i < 200 && voluntary(kFirstSlot) < 50; ++i) sleep_for(10ms);
  if (voluntary(kFirstSlot) < 50) return 6;
  if (kernel.node_values().cpu.switches[shm::kVoluntary] < 50) return 7;
  // The worker came after the start: all its page faults are found by the walk over tasks.
  kernel.take_up();
  if ((kernel.valid() & shm::kValidPageFaults) != 0 &&
      kernel.node_values().memory.page_faults[shm::kMinor] == 0)
    return 14;
  std::vector<CgroupValues> all;
  if (!kernel.read_cgroups(all)) return 8;
  bool found = false;
  for (const CgroupValues& one : all) found = found || one.cgroup_id == root.id();
  if (!found || all.size() < 3) return 9;
  if (kernel.programs().empty()) return 10;
  for (const Device& device : kernel.devices())
    if (device.major == 0) return 13;
  if (!kernel.assign(group.fd(), group.id(), kNodeOther)) return 11;
  kernel.forget(group.id());
  const std::uint64_t then = voluntary(kNodeOther);
  for (int i = 0; i < 200 && voluntary(kNodeOther) < then + 50; ++i) sleep_for(10ms);
  return voluntary(kNodeOther) < then + 50 ? 12 : 0;
}

std::string sources(const Kernel& kernel, std::uint64_t enabled) {
  std::string text;
  for (const auto& f : kernel.features())
    if (f.enabled == enabled) text += std::string(f.name) + ": " + f.source + "\n";
  return text;
}

}  // namespace

TEST_CASE("after open() nothing needs a capability") {
  const Cgroup root = Cgroup::top("rights");
  const Cgroup group = root.child("a");
  const KernelOptions options = options_for(root.from_mount());
  kernel::Probes best = kernel::probe(options);
  REQUIRE(best.refused.empty());
  kernel::Probes table = best;
  table.cgroup_storage = false;
  kernel::Probes raw = best;
  raw.tp_btf = false;
  for (const kernel::Probes& probes : {best, table, raw}) {
    INFO("storage " << probes.cgroup_storage << " tp_btf " << probes.tp_btf);
    // In a process of its own, because there is no way back.
    const int status = Worker("", -1, [&] {
                         auto kernel = kernel::open(options, probes);
                         if (!kernel || !kernel->diagnostics().empty()) ::_exit(50);
                         const Cgroup later = root.child("later");
                         const Worker worker(group.path(), -1, [] { pulse(50us, 300us); });
                         const int failed =
                             steady_state(*kernel, root, group, later.path(), worker);
                         ::_exit(failed);
                       }).join();
    CHECK(status == 0);
    ::rmdir((root.path() + "/later").c_str());
  }
}

TEST_CASE("CAP_BPF and CAP_PERFMON give any user everything root gets") {
  const Cgroup root = Cgroup::top("two");
  const KernelOptions options = options_for(root.from_mount());
  auto as_root = Kernel::open(options);
  REQUIRE(as_root);
  REQUIRE(as_root->programs().size() >= 3);
  const std::string wanted = sources(*as_root, 1);
  const int status = Worker("", -1, [&] {
                       if (!keep_only(bit(CAP_BPF) | bit(CAP_PERFMON))) ::_exit(1);
                       auto kernel = Kernel::open(options);
                       if (!kernel) ::_exit(2);
                       std::fputs(kernel->diagnostics().c_str(), stderr);
                       if (sources(*kernel, 1) != wanted) ::_exit(3);
                       if (kernel->programs().size() != as_root->programs().size()) ::_exit(4);
                       std::vector<CgroupValues> all;
                       const bool walked = kernel->read_cgroups(all);
                       if (walked != (wanted.find("cgroup_iter") != std::string::npos)) ::_exit(5);
                       ::_exit(0);
                     }).join();
  CHECK(status == 0);
}

TEST_CASE("CAP_BPF alone traces nothing, and says what is missing") {
  const int status = Worker("", -1, [] {
                       if (!keep_only(bit(CAP_BPF))) ::_exit(1);
                       auto kernel = Kernel::open(options_for());
                       if (!kernel) ::_exit(2);
                       if (kernel->valid() != 0 || !sources(*kernel, 1).empty()) ::_exit(3);
                       if (sources(*kernel, 0).find("CAP_PERFMON") == std::string::npos) ::_exit(4);
                       ::_exit(0);
                     }).join();
  CHECK(status == 0);
}

TEST_CASE("without rights open() succeeds and says what is missing") {
  const int status = Worker("", -1, [] {
                       if (!drop_everything()) ::_exit(1);
                       auto kernel = Kernel::open(options_for());
                       if (!kernel) ::_exit(2);
                       if (kernel->valid() != 0) ::_exit(3);
                       if (!sources(*kernel, 1).empty()) ::_exit(4);
                       const std::string off = sources(*kernel, 0);
                       if (off.find("runqueue_wait: no CAP_BPF") == std::string::npos) ::_exit(5);
                       if (off.find("block_io: no CAP_BPF") == std::string::npos) ::_exit(6);
                       std::vector<CgroupValues> all;
                       if (kernel->read_cgroups(all)) ::_exit(7);
                       ::_exit(0);
                     }).join();
  CHECK(status == 0);
}

TEST_CASE("switched off, nothing is loaded and everything says so") {
  KernelOptions options = options_for();
  options.force_files = true;
  auto kernel = Kernel::open(options);
  REQUIRE(kernel);
  CHECK(kernel->valid() == 0);
  CHECK(kernel->programs().empty());
  CHECK(kernel->devices().empty());
  CHECK(sources(*kernel, 1).empty());
  CHECK(kernel->features().size() == 19);
  for (const auto& f : kernel->features()) CHECK(std::string(f.source) == "switched off");
  std::vector<CgroupValues> all;
  CHECK_FALSE(kernel->read_cgroups(all));
  const Cgroup group = Cgroup::top("off");
  CHECK(kernel->assign(group.fd(), group.id(), kFirstSlot));
  CHECK(events(kernel->slot_values(kFirstSlot).cpu.runqueue_wait) == 0);
}

TEST_CASE("on this kernel every feature is on but what it refuses, and its programs run") {
  auto kernel = Kernel::open(options_for());
  REQUIRE(kernel);
  INFO(sources(*kernel, 0) << kernel->diagnostics());
  CHECK(sources(*kernel, 0) ==
        (refuses_socket_walk() ? "tcp_connections: no walk over socket storage\n" : ""));
  CHECK(kernel->diagnostics().empty());
  CHECK(kernel->programs().size() >= 5);
  CHECK(Worker("", -1, sleep_often).join() == 0);
  CHECK(kernel->node_values().cpu.switches[shm::kVoluntary] >= 300);
}
