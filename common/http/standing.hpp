// SPDX-License-Identifier: Apache-2.0
//
// The plain connections of one Fetcher thread that stand: each serves one request after the other.
// They are registered with the kernel once, in a set of their own that tells of all of them through
// one descriptor: a request and its reply cost what is sent and received, no registration, no
// memory, no timer.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/http/client.hpp"

namespace optipod::http {

/// Not thread-safe. References to connections are good until add().
class Standing {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kPerHost = 2;

 private:
  struct Host {
    const std::string* authority;
    std::array<std::uint32_t, kPerHost> places;
  };

 public:
  /// A cache line, since it is rarely in the cache when its turn comes.
  class alignas(64) Connection {
   public:
    [[nodiscard]] int socket() const { return socket_; }
    /// Whether a reply is waited for.
    [[nodiscard]] bool is_busy() const { return receiver != nullptr; }

    // The reply that is waited for:
    std::shared_ptr<const Fetcher::Request> request;
    std::shared_ptr<Fetcher::Receiver> receiver;
    Clock::time_point time;  ///< when it is too late for it; at rest: since when, at the latest

   private:
    friend class Standing;
    int socket_ = -1;           ///< none: the place is free
    std::uint32_t turn_ = 0;    ///< tells apart those that had the place one after the other
    std::uint64_t served_ = 0;  ///< the number of the request it has served last
    Host* host_ = nullptr;
  };

  Standing();
  ~Standing();
  Standing(const Standing&) = delete;
  Standing& operator=(const Standing&) = delete;

  /// Connections, at rest or busy.
  [[nodiscard]] std::size_t size() const { return connections_.size() - free_.size(); }
  /// Readable when drain() has something to do.
  [[nodiscard]] int descriptor() const { return epoll_; }

  /// Takes the socket, at rest. It, or another at rest, is closed when its host has enough.
  void add(const std::string& authority, int socket, Clock::time_point now);
  /// One at rest to whom `request` asks, the one that has served it last if it can; or null.
  Connection* find(const Fetcher::Request& request);
  /// Begins to fetch the memory that find() is going to need.
  void prefetch(const Fetcher::Request& request) const;
  /// Forgets the connection; the socket is the caller's.
  [[nodiscard]] int release(Connection& connection);
  void close(Connection& connection);
  /// Those at rest; before `since` only.
  void close_idle(Clock::time_point since = Clock::time_point::max());

  template <class Use>
  void for_each_busy(Use use) {
    for (Connection& connection : connections_) {
      if (connection.is_busy()) use(connection);
    }
  }

  /// Calls use(connection) for each busy one that something has come of since the last call, be it
  /// its end. One at rest is closed by that: nothing was asked. `use` may close() and release().
  template <class Use>
  void drain(Use use) {
    std::array<epoll_event, 64> events;
    std::size_t n = events.size();
    while (n == events.size()) {
      n = wait(events);
      for (std::size_t i = 0; i < n; ++i) {
        Connection* connection = of(events[i]);
        if (connection != nullptr && connection->is_busy()) {
          use(*connection);
          connection = has_ended(events[i]) ? of(events[i]) : nullptr;
        }
        if (connection != nullptr && !connection->is_busy()) close(*connection);
      }
    }
  }

 private:
  [[nodiscard]] std::size_t wait(std::span<epoll_event> events) const;
  [[nodiscard]] Connection* of(const epoll_event& event);
  [[nodiscard]] static bool has_ended(const epoll_event& event);
  void forget_if_empty(const Host& host);

  int epoll_;
  std::vector<Connection> connections_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::string, Host> hosts_;
};

}  // namespace optipod::http
