// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <tl/expected.hpp>

namespace optipod::exporter {

/// For good, for this process and every thread it starts later: no rights by exec (no_new_privs),
/// no other processes, no files opened for writing, none of the kernel's sharp tools. These fail
/// with EPERM.
///
/// Unlike the agent's, this is a list of what is closed: a server uses much of the kernel, and what
/// its libraries will call tomorrow is not known.
tl::expected<void, std::string> forbid_syscalls();

}  // namespace optipod::exporter
