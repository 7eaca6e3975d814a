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
  std::uint64_t run_delay_ns = 0, timeslices = 0;
};
/// Sum over the threads of a process, from /proc/<pid>/task/*/schedstat.
SchedStat schedstat(pid_t pid);

/// The CPU tests pin to: the last one we may use.
int test_cpu();
KernelOptions options_for(const std::string& root = "/");
std::uint64_t events(const shm::Histogram& h);
shm::Histogram difference(const shm::Histogram& now, const shm::Histogram& then);
void sleep_for(std::chrono::milliseconds time);
/// The whole file; "" when it cannot be read.
std::string read_file(const std::string& path);

}  // namespace optipod::agent::test
