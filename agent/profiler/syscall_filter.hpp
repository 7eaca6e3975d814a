// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <tl/expected.hpp>

namespace optipod::agent {

/// For good, for the calling process, which has one thread and no_new_privs: leaves the system
/// calls that publishing takes. Files are opened for reading only, bpf() touches the maps, programs
/// and iterators it already has, no memory becomes executable; no sockets, processes or signals to
/// others. `counters`: perf counters that are open may be started and stopped.
///
/// Whatever else is tried fails with ENOSYS instead of killing the agent: a newer C library that
/// tries a newer call first falls back by itself then, and the node goes on being measured. To what
/// broke in, it is as closed.
tl::expected<void, std::string> limit_syscalls(bool counters);

}  // namespace optipod::agent
