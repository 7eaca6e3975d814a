// SPDX-License-Identifier: Apache-2.0
//
// optipod-agent as a whole: attach, give up every right, publish until told to stop.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "agent/profiler/privilege.hpp"
#include "common/app/app.hpp"

namespace optipod::agent {

struct Options {
  std::string cgroup_root = "/";
  std::string cpus;
  std::chrono::milliseconds interval{1000};
  std::string segment = "/run/optipod/current.shm";
  std::string segment_group;
  std::uint32_t max_containers = 512;
  std::string pods_directory = "/var/log/pods";
  std::string node_name;  ///< "": the host's
  bool no_ebpf = false;
  bool no_seccomp = false;
  bool hardware_counters = false;
  bool page_allocations = false;
  bool print_abi = false;
  Unprivileged unprivileged;
};

void declare(CLI::App& cli, Options& options);

/// Returns an exit status (common/app).
int run(app::Stop& stop, const Options& options);

}  // namespace optipod::agent
