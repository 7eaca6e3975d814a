// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace optipod::agent::kernel {

/// Where each of the CPUs 0 … count-1 is, as cpu_places of bpf/cpu.bpf.c: NUMA node << 16 | the
/// first CPU that shares its last level cache; kNoPlace for one that is off line. Empty where the
/// kernel does not tell (a virtual machine without caches). `devices`: /sys/devices/system.
std::vector<std::uint32_t> cpu_places(std::uint32_t count, const std::string& devices);

}  // namespace optipod::agent::kernel
