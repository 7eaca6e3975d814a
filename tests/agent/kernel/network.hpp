// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace optipod::agent::test {

/// Puts this process into a network namespace of its own, with nothing but its loopback: its
/// counters are ours alone. Ends the process when that is refused.
inline void own_network() {
  if (::unshare(CLONE_NEWNET) != 0) ::_exit(10);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP;
  if (::ioctl(fd, SIOCSIFFLAGS, &request) != 0) ::_exit(11);
  ::close(fd);
}

}  // namespace optipod::agent::test
