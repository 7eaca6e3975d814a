// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace optipod::agent::kernel {

/// The commands of bpf(2) that a Kernel gives once it is open: all ask or change what held file
/// descriptors stand for, none makes a map, a program or a link.
[[nodiscard]] std::span<const int> steady_commands();

}  // namespace optipod::agent::kernel
