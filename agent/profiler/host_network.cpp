// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/host_network.hpp"

#include <filesystem>
#include <system_error>

namespace optipod::agent {

bool in_host_network(const std::string& proc) {
  // No other has this sysctl.
  std::error_code error;
  return std::filesystem::exists(proc + "/sys/net/core/netdev_budget", error);
}

std::string host_network_files(const std::string& proc) {
  if (in_host_network(proc)) return proc + "/net";
  // Process 1 of the first pid namespace, whose number the kernel has fixed, lives in it.
  std::error_code error;
  const auto pid_namespace = std::filesystem::read_symlink(proc + "/self/ns/pid", error);
  return !error && pid_namespace == "pid:[4026531836]" ? proc + "/1/net" : "";
}

}  // namespace optipod::agent
