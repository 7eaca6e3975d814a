// SPDX-License-Identifier: Apache-2.0
// A peer that may do anything: each connection is a function on a thread of its own.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "tests/support/catch.hpp"

namespace optipod::aggregator {

class RawServer {
 public:
  /// One accepted connection; every call returns false once the peer or the server is gone.
  class Connection {
   public:
    Connection(int fd, const std::atomic<bool>& stopping) : fd_(fd), stopping_(stopping) {}

    /// Reads up to and with an empty line.
    bool request() {
      std::string head;
      while (head.find("\r\n\r\n") == std::string::npos) {
        char piece[4096];
        if (!wait(POLLIN)) return false;
        const ssize_t got = ::recv(fd_, piece, sizeof piece, 0);
        if (got <= 0) return false;
        head.append(piece, static_cast<std::size_t>(got));
      }
      return true;
    }
    bool send(std::string_view text) {
      while (!text.empty()) {
        if (!wait(POLLOUT)) return false;
        const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(sent));
      }
      return true;
    }
    bool reply(std::string_view body, std::string_view type = "text/plain; version=0.0.4",
               std::string_view status = "200 OK") {
      std::string text = "HTTP/1.1 ";
      text.append(status).append("\r\nContent-Type: ").append(type);
      text.append("\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n\r\n");
      return send(text.append(body));
    }
    /// Sleeps a little; false when it is time to go.
    bool pause() { return !stopping_ && ::poll(nullptr, 0, 10) == 0 && !hung_up(); }
    /// The peer gets a reset.
    void reset() {
      const linger now{.l_onoff = 1, .l_linger = 0};
      ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }

   private:
    bool wait(short events) {
      while (!stopping_) {
        pollfd p{.fd = fd_, .events = events, .revents = 0};
        const int ready = ::poll(&p, 1, 20);
        if (ready < 0 || (p.revents & POLLERR) != 0) return false;
        if (ready > 0) return true;
      }
      return false;
    }
    bool hung_up() {
      pollfd p{.fd = fd_, .events = POLLRDHUP, .revents = 0};
      return ::poll(&p, 1, 0) > 0;
    }
    int fd_;
    const std::atomic<bool>& stopping_;
  };
  using Serve = std::function<void(Connection&)>;

  explicit RawServer(Serve serve) : serve_(std::move(serve)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd_ >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd_, 64) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }
  ~RawServer() {
    stopping_ = true;
    thread_.join();
    for (std::thread& connection : connections_) connection.join();
    ::close(fd_);
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  void accept_all() {
    while (!stopping_) {
      pollfd p{.fd = fd_, .events = POLLIN, .revents = 0};
      if (::poll(&p, 1, 20) <= 0) continue;
      const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      connections_.emplace_back([this, fd] {
        Connection connection(fd, stopping_);
        serve_(connection);
        ::close(fd);
      });
    }
  }

  Serve serve_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::list<std::thread> connections_;
  std::thread thread_;
};

}  // namespace optipod::aggregator
