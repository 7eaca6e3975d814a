// SPDX-License-Identifier: Apache-2.0
//
// Packets dropped, in a network namespace of our own, where it is known which and why.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/agent/kernel/network.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;

namespace {

constexpr int kPackets = 300;

std::uint64_t dropped(const Kernel& kernel, const std::string& reason) {
  for (const DropCount& count : kernel.drops())
    if (count.reason == reason) return count.packets;
  return 0;
}

int bound(int type, sockaddr_in& address) {
  const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) ::_exit(12);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) ::_exit(13);
  return fd;
}

/// Datagrams of 100 bytes; what the kernel says to the sender of their fate is not asked for.
void send_datagrams(const sockaddr_in& to, int count) {
  const std::vector<char> data(100, 'x');
  for (int i = 0; i < count; ++i) {
    // A fresh socket: the refusal of the one before would be this one's error.
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const ssize_t sent = ::sendto(fd, data.data(), data.size(), 0,
                                  reinterpret_cast<const sockaddr*>(&to), sizeof to);
    if (sent != static_cast<ssize_t>(data.size())) ::_exit(14);
    ::close(fd);
  }
}

}  // namespace

TEST_CASE("packets to nobody are dropped for want of a socket") {
  auto kernel = Kernel::open(options_for());
  REQUIRE(kernel);
  REQUIRE((kernel->valid() & shm::kValidPacketDrops) != 0);
  const std::uint64_t before = dropped(*kernel, "no_socket");
  CHECK(Worker("", -1, [] {
          own_network();
          sockaddr_in address{};
          ::close(bound(SOCK_DGRAM, address));
          send_datagrams(address, kPackets);
          ::_exit(0);
        }).join() == 0);
  const std::uint64_t lost = dropped(*kernel, "no_socket") - before;
  CHECK(lost >= kPackets);
  CHECK(lost < 2 * kPackets);  // others on this machine may send to nobody, too
}

TEST_CASE("packets over a socket's buffer are dropped for that") {
  auto kernel = Kernel::open(options_for());
  REQUIRE(kernel);
  const std::uint64_t before = dropped(*kernel, "socket_rcvbuff");
  CHECK(Worker("", -1, [] {
          own_network();
          sockaddr_in address{};
          const int fd = bound(SOCK_DGRAM, address);
          const int small = 1;  // the kernel's least, which is room for a few
          if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) != 0) ::_exit(15);
          send_datagrams(address, kPackets);
          int kept = 0;
          char data[200];
          while (::recv(fd, data, sizeof data, MSG_DONTWAIT) > 0) ++kept;
          ::_exit(kept > 0 && kept < kPackets / 2 ? 0 : 16);
        }).join() == 0);
  CHECK(dropped(*kernel, "socket_rcvbuff") - before >= kPackets / 2);
}

TEST_CASE("what is read, acknowledged or closed in good order is no drop") {
  auto kernel = Kernel::open(options_for());
  REQUIRE(kernel);
  const auto all = [&kernel] {
    std::uint64_t sum = 0;
    for (const DropCount& count : kernel->drops()) {
      CHECK_FALSE(count.reason.empty());
      CHECK(count.reason.find("consumed") == std::string::npos);
      sum += count.packets;
    }
    return sum;
  };
  const std::uint64_t before = all();
  constexpr int kConnections = 200;
  CHECK(Worker("", -1, [] {
          own_network();
          sockaddr_in address{};
          const int listener = bound(SOCK_STREAM, address);
          if (::listen(listener, 8) != 0) ::_exit(15);
          const std::vector<char> data(50'000, 'x');
          std::vector<char> read(data.size());
          for (int i = 0; i < kConnections; ++i) {
            const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
              ::_exit(16);
            const int server = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
            const auto size = static_cast<ssize_t>(data.size());
            if (::send(client, data.data(), data.size(), 0) != size) ::_exit(17);
            if (::recv(server, read.data(), read.size(), MSG_WAITALL) != size) ::_exit(18);
            ::shutdown(client, SHUT_WR);
            if (::recv(server, read.data(), 1, 0) != 0) ::_exit(19);
            ::close(server);
            ::close(client);
          }
          ::_exit(0);
        }).join() == 0);
  // Thousands of packets went; the rest of this machine may have lost a few.
  CHECK(all() - before < kConnections);
}

TEST_CASE("a subtree of the machine has no drops of its own") {
  const Cgroup root = Cgroup::top("drops");
  auto kernel = Kernel::open(options_for(root.from_mount()));
  REQUIRE(kernel);
  CHECK((kernel->valid() & shm::kValidPacketDrops) == 0);
  CHECK(kernel->drops().empty());
}
