// SPDX-License-Identifier: Apache-2.0
//
// A server whose handlers stand at gates.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/server.hpp"
#include "tests/common/gate.hpp"
#include "tests/common/raw_socket.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http::test {

inline std::string get(const std::string& path) {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
}

/// /work stands at a gate, /slow at another; both answer "work" and "neutral" when turned away.
struct OverloadFixture {
  explicit OverloadFixture(ServerLimits limits, unsigned threads = 1) : server(limits, threads) {
    const Handler neutral = [](const Request&, Response& r) { r.body = "neutral"; };
    server.route("GET", "/work",
                 [this](const Request& q, Response& r) {
                   note(q.query);
                   gate.pass();
                   r.body = "work";
                 },
                 {.overloaded = neutral});
    server.route("GET", "/slow",
                 [this](const Request& q, Response& r) {
                   note(q.query);
                   slow_gate.pass();
                   r.body = "slow";
                 },
                 {.overloaded = neutral, .slow = true});
    server.route("GET", "/hello", [](const Request&, Response& r) { r.body = "hello"; });
    server.observe([this](std::string_view route, unsigned, std::chrono::nanoseconds time) {
      const std::lock_guard lock(mutex);
      if (route == "/work") times.push_back(time);
    });
  }
  ~OverloadFixture() {
    gate.open();
    slow_gate.open();
  }
  void listen() { REQUIRE(server.listen("127.0.0.1:0").has_value()); }

  void note(std::string_view query) {
    const std::lock_guard lock(mutex);
    order.emplace_back(query);
  }
  Raw send(const std::string& path) const {
    Raw raw = Raw::connect(server.port());
    raw.send(get(path));
    return raw;
  }
  /// Requests that are known to wait, in this order: path?0, path?1, …
  std::vector<Raw> queue(const std::string& path, std::size_t count) const {
    std::vector<Raw> all;
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(send(path + "?" + std::to_string(i)));
      await([&] {
        const ServerStats now = server.stats();
        return (path == "/slow" ? now.slow_queued : now.queued) == i + 1;
      });
    }
    return all;
  }
  ServerStats::TurnedAway turned_away(const std::string& route) const {
    for (const auto& entry : server.stats().turned_away) {
      if (entry.route == route) return entry;
    }
    throw std::runtime_error("no such route in the statistics");
  }

  Gate gate, slow_gate;
  std::mutex mutex;
  std::vector<std::string> order;
  std::vector<std::chrono::nanoseconds> times;
  Server server;
};

inline void check_alive(Raw& raw) {
  raw.send(get("/hello"));
  CHECK(body_of(raw.reply()) == "hello");
}

}  // namespace optipod::http::test
