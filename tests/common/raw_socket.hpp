// SPDX-License-Identifier: Apache-2.0
//
// Sockets for tests that say to an HTTP peer exactly what they want, byte by byte, right or wrong.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace optipod::http::test {

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

/// A connected socket. Every wait is bounded: a peer that hangs fails the test, not the build.
class Raw {
 public:
  explicit Raw(int fd) : fd_(fd) {}
  Raw(Raw&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Raw& operator=(Raw&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Raw() {
    if (fd_ >= 0) ::close(fd_);
  }

  static Raw connect(std::uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      if (fd >= 0) ::close(fd);
      throw std::runtime_error("cannot connect to a port of this test");
    }
    return Raw(fd);
  }

  /// False when the peer has gone, or takes nothing for ten seconds.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(n));
      } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        pollfd event{fd_, POLLOUT, 0};
        if (poll(&event, 1, 10'000) <= 0) return false;
      } else {
        return false;
      }
    }
    return true;
  }

  /// Bytes that came in time; "" at the end of the stream or after `time`.
  std::string receive(std::chrono::milliseconds time = std::chrono::seconds(10)) const {
    pollfd event{fd_, POLLIN, 0};
    if (poll(&event, 1, static_cast<int>(time.count())) <= 0) return {};
    std::string block(256 * 1024, '\0');
    const ssize_t n = recv(fd_, block.data(), block.size(), 0);
    block.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return block;
  }
  std::string receive_all() const {
    std::string out;
    for (std::string block = receive(); !block.empty(); block = receive()) out += block;
    return out;
  }
  /// One reply by its Content-Length; what came behind it waits for the next call.
  std::string reply(bool head_only = false) {
    for (;;) {
      const std::size_t head = pending_.find("\r\n\r\n");
      if (head != std::string::npos) {
        std::size_t length = 0;
        const std::size_t at = pending_.find("Content-Length: ");
        if (at < head && !head_only) length = std::strtoul(pending_.c_str() + at + 16, nullptr, 10);
        const std::size_t whole = head + 4 + length;
        if (pending_.size() >= whole) {
          std::string out = pending_.substr(0, whole);
          pending_.erase(0, whole);
          return out;
        }
      }
      const std::string block = receive();
      if (block.empty()) return std::exchange(pending_, {});
      pending_ += block;
    }
  }
  /// Whether the peer has ended the connection, waiting up to `time` for it.
  bool closed_within(std::chrono::milliseconds time) const {
    pollfd event{fd_, POLLIN, 0};
    if (poll(&event, 1, static_cast<int>(time.count())) <= 0) return false;
    char byte = 0;
    return recv(fd_, &byte, 1, MSG_PEEK) <= 0;
  }
  void reset() {  ///< closes with RST
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(std::exchange(fd_, -1));
  }
  void end_of_sending() const { shutdown(fd_, SHUT_WR); }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  std::string pending_;
};

inline unsigned status_of(const std::string& reply) {
  return reply.rfind("HTTP/1.1 ", 0) == 0
             ? static_cast<unsigned>(std::strtoul(reply.c_str() + 9, nullptr, 10))
             : 0;
}
inline std::string body_of(const std::string& reply) {
  const std::size_t head = reply.find("\r\n\r\n");
  return head == std::string::npos ? "" : reply.substr(head + 4);
}

/// A peer for clients: runs `serve` on a thread for each connection, with the connection's number.
class RawServer {
 public:
  using Serve = std::function<void(Raw&, int)>;
  explicit RawServer(Serve serve) : serve_(std::move(serve)) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd_, 1024) != 0 ||
        getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("cannot listen on loopback");
    }
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { accept_all(); });
  }
  ~RawServer() {
    stopping_ = true;
    shutdown(fd_, SHUT_RDWR);
    accepting_.join();
    ::close(fd_);
    for (auto& thread : serving_) thread.join();
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  [[nodiscard]] std::string url(const std::string& path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int connections() const { return connections_; }
  [[nodiscard]] bool stopping() const { return stopping_; }

  /// Reads one request head; "" when the client has gone.
  static std::string read_head(const Raw& raw) {
    std::string head;
    while (head.find("\r\n\r\n") == std::string::npos) {
      const std::string block = raw.receive();
      if (block.empty()) return {};
      head += block;
    }
    return head;
  }

 private:
  void accept_all() {
    for (;;) {
      const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      serving_.emplace_back([this, fd, number = connections_++] {
        Raw raw(fd);
        serve_(raw, number);
      });
    }
  }

  Serve serve_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<bool> stopping_{false};
  std::thread accepting_;
  std::vector<std::thread> serving_;
};

/// Resident memory of this process in bytes.
inline std::size_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long size = 0;
  unsigned long resident = 0;
  const int n = file == nullptr ? 0 : std::fscanf(file, "%lu %lu", &size, &resident);
  if (file != nullptr) std::fclose(file);
  return n == 2 ? resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace optipod::http::test
