// SPDX-License-Identifier: Apache-2.0
// A file of its own: the kernel's header, whose tcp_info is complete, excludes the C library's.
#include "common/http/tcp_socket.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace optipod::http {
namespace {

// The states of RFC 793 as the kernel numbers them; its header keeps them to itself.
constexpr int kTcpClose = 7, kTcpCloseWait = 8;

}  // namespace

std::uint64_t tcp_received(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

bool tcp_peer_ended(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  return info.tcpi_state == kTcpClose || info.tcpi_state == kTcpCloseWait;
}

void reset_on_close(int socket) {
  const linger at_once{1, 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace optipod::http
