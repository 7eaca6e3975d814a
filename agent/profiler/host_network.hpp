// SPDX-License-Identifier: Apache-2.0
//
// Whether the host's network namespace can be seen from here.
#pragma once

#include <string>

namespace optipod::agent {

/// Whether this process is in it. `proc` is where procfs is.
bool in_host_network(const std::string& proc);
/// The directory with its files (`snmp`, `dev`), below `proc`; "" when it cannot be told from
/// another one's.
std::string host_network_files(const std::string& proc);

}  // namespace optipod::agent
