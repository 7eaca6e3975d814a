// SPDX-License-Identifier: Apache-2.0
//
// For tests: opens the kernel side as if the kernel were lesser than it is.
#pragma once

#include "agent/profiler/kernel.hpp"
#include "agent/profiler/kernel/plan.hpp"

namespace optipod::agent::kernel {

/// Kernel::open() after probe(). `probes` must not promise what the kernel lacks (it would be found
/// out when loading, and planned without).
tl::expected<Kernel, std::string> open(const KernelOptions& options, Probes probes);

}  // namespace optipod::agent::kernel
