// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/profiler/kernel.hpp"
#include "agent/profiler/kernel/plan.hpp"

namespace optipod::agent::kernel {

/// Asks the running kernel: by its BTF where the question is about types, by loading a program or
/// making a map of a few bytes where it is about rights and abilities. Never by version number,
/// because distributions backport.
[[nodiscard]] Probes probe(const KernelOptions& options);

}  // namespace optipod::agent::kernel
