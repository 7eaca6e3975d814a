// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/privilege.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

namespace optipod::agent {
namespace {

constexpr unsigned kNobody = 65534;

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool has_capability(cap_value_t capability) {
  const std::unique_ptr<_cap_struct, int (*)(void*)> now(::cap_get_proc(), ::cap_free);
  cap_flag_value_t value = CAP_CLEAR;
  return now && ::cap_get_flag(now.get(), capability, CAP_EFFECTIVE, &value) == 0 &&
         value == CAP_SET;
}

tl::expected<void, std::string> become(const Identity& identity) {
  const gid_t only = identity.gid;
  if (::setgroups(1, &only) != 0 || ::setresgid(only, only, only) != 0 ||
      ::setresuid(identity.uid, identity.uid, identity.uid) != 0) {
    return tl::unexpected(fmt::format("cannot become user {} and group {}: {}", identity.uid,
                                      identity.gid, std::strerror(errno)));
  }
  return {};
}

void drop_what_exec_could_give() {
  // What exec could give back. Needs CAP_SETPCAP: without it no_new_privs has the same effect.
  for (cap_value_t capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    ::prctl(PR_CAPBSET_DROP, capability);
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

}  // namespace

tl::expected<Identity, std::string> find_identity(const Unprivileged& wanted) {
  Identity identity{kNobody, kNobody};
  if (!wanted.user.empty()) {
    if (const auto id = number(wanted.user)) {
      identity = {*id, *id};
    } else if (const passwd* entry = ::getpwnam(wanted.user.c_str())) {
      identity = {entry->pw_uid, entry->pw_gid};
    } else {
      return tl::unexpected(
          fmt::format("--user: no user '{}' on this system; give a name or a number", wanted.user));
    }
  }
  if (!wanted.group.empty()) {
    if (const auto id = number(wanted.group)) {
      identity.gid = *id;
    } else if (const struct group* entry = ::getgrnam(wanted.group.c_str())) {
      identity.gid = entry->gr_gid;
    } else {
      return tl::unexpected(fmt::format(
          "--group: no group '{}' on this system; give a name or a number", wanted.group));
    }
  }
  return identity;
}

tl::expected<std::string, std::string> drop_privileges(const Unprivileged& wanted) {
  const auto identity = find_identity(wanted);
  if (!identity) return tl::unexpected(identity.error());
  const bool asked = !wanted.user.empty() || !wanted.group.empty();
  const bool able = has_capability(CAP_SETUID) && has_capability(CAP_SETGID);
  drop_what_exec_could_give();
  if (able) {
    if (auto became = become(*identity); !became) return tl::unexpected(became.error());
  } else if (asked && (::geteuid() != identity->uid || ::getegid() != identity->gid)) {
    return tl::unexpected(fmt::format(
        "cannot become user {}: it takes CAP_SETUID and CAP_SETGID; leave out --user and --group",
        identity->uid));
  }
  const std::unique_ptr<_cap_struct, int (*)(void*)> none(::cap_init(), ::cap_free);
  if (!none || ::cap_set_proc(none.get()) != 0) {
    return tl::unexpected(fmt::format("cannot drop capabilities: {}", std::strerror(errno)));
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return tl::unexpected(fmt::format("cannot set no_new_privs: {}", std::strerror(errno)));
  }
  return fmt::format("user {}, group {}, no capability", ::geteuid(), ::getegid());
}

}  // namespace optipod::agent
