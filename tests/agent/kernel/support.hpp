// SPDX-License-Identifier: Apache-2.0
//
// What the tests on the real kernel need: cgroups and workloads that vanish with their owner, and
// the kernel's own files to compare with.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/profiler/kernel.hpp"

namespace optipod::agent::test {

/// Where the cgroup v2 hierarchy is mounted; throws std::runtime_error without one.
std::string cgroup2_mount();
/// Where a v1 controller is mounted; nullopt without.
std::optional<std::string> cgroup1_mount(const std::string& controller);

/// A cgroup directory. The destructor kills what is left in it and removes it.
class Cgroup {
 public:
  explicit Cgroup(std::string path);
  /// A fresh one at the top of the hierarchy.
  static Cgroup top(const std::string& name);
  /// A fresh one inside this one.
  [[nodiscard]] Cgroup child(const std::string& name) const;
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  Cgroup(Cgroup&& other) noexcept;
  ~Cgroup();

  [[nodiscard]] const std::string& path() const { return path_; }
  /// As the agent names it: from the mount.
  [[nodiscard]] std::string from_mount() const;
  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] int fd() const { return fd_; }
  /// Value of a `key value` line, or of `key=value` in a `line` of that name ("some", "full").
  [[nodiscard]] std::uint64_t stat(const std::string& file, const std::string& key) const;
  [[nodiscard]] std::uint64_t pressure_us(const std::string& file, const std::string& line) const;

 private:
  std::string path_;
  std::uint64_t id_ = 0;
  int fd_ = -1;
};

/// A cgroup on v2, to be charged, and the controller that limits it: there, or in the v1 hierarchy
/// of a hybrid host, whose group the processes must enter, too.
class Limited {
 public:
  Limited(const std::string& name, const std::string& controller);
  [[nodiscard]] const Cgroup& group() const { return group_; }
  /// Where the controller's files are.
  [[nodiscard]] const Cgroup& control() const { return v1_ ? *v1_ : group_; }
  [[nodiscard]] bool v1() const { return v1_.has_value(); }
  /// Writes to a file of control(); throws std::runtime_error when it cannot.
  void set(const std::string& file, const std::string& text) const;

 private:
  Cgroup group_;
  std::optional<Cgroup> v1_;
};

/// A child process that runs `body` inside the cgroup (its path; "" for where we are) and is killed
/// with its owner. `cpu` >= 0 pins it.
class Worker {
 public:
  Worker(const std::string& cgroup_path, int cpu, const std::function<void()>& body);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  Worker(Worker&& other) noexcept;
  ~Worker();
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Waits for the end and returns the exit status.
  int join();

 private:
  pid_t pid_ = -1;
};

/// Bodies for workers; they never return.
void pin(pid_t pid, int cpu);              ///< throws std::runtime_error when it cannot
void spin();                               ///< runs all the time
void spin_threads(unsigned count);         ///< that many threads do
void burn(std::chrono::nanoseconds time);  ///< runs that long, and returns
void pulse(std::chrono::microseconds run, std::chrono::microseconds rest);  ///< for ever

struct SchedStat {
  std::uint64_t run_ns = 0, run_delay_ns = 0, timeslices = 0;
};
/// Sum over the threads of a process, from /proc/<pid>/task/*/schedstat.
SchedStat schedstat(pid_t pid);

/// Tells times in which pid 1 ran. A virtual machine's kernel may run no eBPF program while its
/// supervisor is on the CPU, not for interrupts either: softirqs in its context are in the kernel's
/// own trace and never reach a program (seen on 6.18). What is counted then cannot agree.
class InitWatch {
 public:
  InitWatch() : before_(schedstat(1)) {}
  /// Whether it ran since the construction. Waits until a tick has accounted what runs now.
  [[nodiscard]] bool ran() const;

 private:
  SchedStat before_;
};
/// What `measure` returns, which is called until that is a value: nullopt says that pid 1 ran.
/// Throws std::runtime_error when it always does.
template <typename Measure>
auto undisturbed(const Measure& measure) {
  for (int tries = 0; tries < 100; ++tries)
    if (auto result = measure()) return *std::move(result);
  throw std::runtime_error("pid 1 never rested");
}

/// Whether this is Linux major.minor or newer; for what nothing but its version tells.
bool kernel_at_least(int major, int minor);
/// The kernel's types name the walk over socket storage, and bpf() refuses a program for it with
/// EPERM. Found out apart from the agent's own probe, for tests of what it then does.
bool refuses_socket_walk();
/// The CPU tests pin to: the last one we may use.
int test_cpu();
KernelOptions options_for(const std::string& root = "/");
/// Opens the kernel side, its programs of the kind tp_btf or raw_tp. Throws std::runtime_error,
/// with libbpf's words, when it is of the other kind (its slower twin replaces what does not load
/// without a word) or does not give all of `needs`, shm::Valid bits.
Kernel open_kernel(std::uint64_t needs, bool raw = false);
std::uint64_t events(const shm::Histogram& h);
shm::Histogram difference(const shm::Histogram& now, const shm::Histogram& then);
void sleep_for(std::chrono::milliseconds time);
std::uint64_t now_ns();  ///< of the monotonic clock
/// Throws std::runtime_error when it cannot.
void write_file(const std::string& path, const std::string& text);
/// The whole file; "" when it cannot be read.
std::string read_file(const std::string& path);

}  // namespace optipod::agent::test
