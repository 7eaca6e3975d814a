// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cerrno>

namespace optipod::agent::kernel {

/// Runs an iterator whose program writes to maps and not to the file: the first read walks all.
/// False, with errno: there is none, or it could not be run. Needs no capability.
inline bool run_walk(const bpf_link* link) {
  if (link == nullptr) return errno = ENOENT, false;
  const int walker = bpf_iter_create(bpf_link__fd(link));
  if (walker < 0) return false;
  char nothing[16];
  ssize_t got = 0;
  for (int tries = 0; tries < 1000; ++tries) {
    got = ::read(walker, nothing, sizeof nothing);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) continue;
    break;
  }
  const int cause = got > 0 ? EAGAIN : errno;
  ::close(walker);
  errno = cause;
  return got == 0;
}

}  // namespace optipod::agent::kernel
