// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/agent.hpp"

namespace optipod::agent {

void declare(CLI::App& cli, Options& o) {
  cli.add_option("--cgroup-root", o.cgroup_root,
                 "Cgroup v2 subtree that is this node: a path below the mount; / is the machine")
      ->capture_default_str();
  cli.add_option("--cpus", o.cpus, "CPUs that count, as 0-3,6; default: all");
  app::add_duration(cli, "--interval", o.interval, "Time between two measurements, 10ms to 60s");
  cli.add_option("--segment", o.segment, "File to publish in; its directory is this agent's alone")
      ->capture_default_str();
  cli.add_option("--segment-group", o.segment_group,
                 "Group that may read the segment; default: the agent's own");
  cli.add_option("--max-containers", o.max_containers,
                 "Containers and services with a series of their own; more are counted together")
      ->check(CLI::Range(1, 16384))
      ->capture_default_str();
  cli.add_option("--pods-dir", o.pods_directory, "Where kubelet keeps the logs that name pods")
      ->capture_default_str();
  cli.add_option("--node-name", o.node_name,
                 "Name of this node; default: NODE_NAME, or the host's");
  cli.add_flag("--no-ebpf", o.no_ebpf,
               "Read files only: no run-queue wait, no latency of block I/O");
  cli.add_flag("--hardware-counters", o.hardware_counters,
               "Count cycles, instructions and cache misses of containers, 10 s of each minute, "
               "where the CPUs have counters");
  cli.add_flag("--page-allocations", o.page_allocations,
               "Count the bytes each container gets from the page allocator; a program then runs "
               "at every allocation");
  cli.add_flag("--no-seccomp", o.no_seccomp,
               "Leave every system call open once attached, should the filter be in the way");
  cli.add_option("--user", o.unprivileged.user,
                 "User (name or number) to become once attached; default: nobody, if allowed");
  cli.add_option("--group", o.unprivileged.group, "Group to become, likewise");
  cli.add_flag("--abi", o.print_abi, "Print the identity of the segment's format and exit");
}

}  // namespace optipod::agent
