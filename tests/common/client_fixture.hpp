// SPDX-License-Identifier: Apache-2.0
//
// Servers and waits for the tests of the HTTP clients.
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "common/http/client.hpp"
#include "tests/common/raw_socket.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http::test {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Result = ClientResult;
using Kind = ClientError::Kind;

inline constexpr std::size_t kMiB = 1024 * 1024;

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline ClientOptions within(milliseconds timeout, std::size_t max_body = 64 * kMiB) {
  ClientOptions options;
  options.timeout = timeout;
  options.max_body_bytes = max_body;
  return options;
}

/// A Fetcher's get() as a call that returns. Also counts calls of `done`: there must be one each.
class Waiting {
 public:
  Result get(const std::string& url, const ClientOptions& options = {}) {
    auto promise = std::make_shared<std::promise<Result>>();
    auto future = promise->get_future();
    fetcher.get(url, options, [this, promise](Result result) {
      ++ended;
      promise->set_value(std::move(result));
    });
    ++begun;
    REQUIRE(future.wait_for(seconds(30)) == std::future_status::ready);
    return future.get();
  }
  std::atomic<int> begun{0}, ended{0};
  Fetcher fetcher{1};
};

inline std::string ok(const std::string& body, const std::string& lines = "") {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n" + lines +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// A server that answers every request with the same bytes, then closes if told.
inline RawServer::Serve always(std::string bytes, bool close = true) {
  return [bytes = std::move(bytes), close](Raw& raw, int) {
    while (!RawServer::read_head(raw).empty()) {
      raw.send(bytes);
      if (close) return;
    }
  };
}

/// Listens and says nothing until the peer goes.
inline void hold(const Raw& raw) {
  while (!raw.receive(seconds(20)).empty()) {
  }
}

}  // namespace optipod::http::test
