// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sys/types.h>

#include <tl/expected.hpp>

namespace optipod::agent {

/// Whom to become. Names or numbers; "" is nobody (65534) where the process may change its user,
/// and no change where it may not (a container with CAP_BPF and CAP_PERFMON only).
struct Unprivileged {
  std::string user, group;
};

struct Identity {
  uid_t uid;
  gid_t gid;
};
/// Looks the names up: before capabilities and the view of /etc are gone.
tl::expected<Identity, std::string> find_identity(const Unprivileged& wanted);

/// For good, for the calling process, which has one thread: no other user's rights, no capability
/// in any set, none to be had by exec (no_new_privs). Returns what the process is afterwards, for
/// people; an error when some right could not be given up.
tl::expected<std::string, std::string> drop_privileges(const Unprivileged& wanted);

}  // namespace optipod::agent
