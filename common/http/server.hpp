// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "common/http/message.hpp"

namespace optipod::http {

struct ServerLimits {
  std::size_t max_head_bytes = 16 * 1024;
  std::size_t max_body_bytes = 1024 * 1024;        ///< also of chunked bodies
  std::size_t max_connections = 512;               ///< one more is answered 503 and closed
  std::chrono::milliseconds read_timeout{10'000};  ///< from the first byte of a request to its last
  std::chrono::milliseconds write_timeout{10'000};
  std::chrono::milliseconds idle_timeout{90'000};  ///< kept-alive connection without a request
};

/// HTTP/1.1 server on Boost.Beast. Idle connections cost a file descriptor, never a thread. Answers
/// by itself: 404, 405 (with Allow), 400 malformed, 408 slow, 413 too large, 431 long head, 503
/// full; HEAD for every GET route. Every reply has a Content-Length and is written in one piece;
/// non-200 replies it makes itself have an empty body.
class Server {
 public:
  explicit Server(ServerLimits limits = {}, unsigned threads = 1);
  ~Server();  ///< as stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Before listen(). `path` is exact, or a prefix when it ends in "/*".
  void route(std::string_view method, std::string_view path, Handler handler);

  /// Called after each reply with the route as registered ("" when none matched), the status and
  /// the time from the last byte of the request read to the last byte of the reply handed to the
  /// kernel.
  using Observer =
      std::function<void(std::string_view route, unsigned status, std::chrono::nanoseconds)>;
  void observe(Observer observer);

  /// Binds "host:port", ":port" (all addresses) or "[v6]:port" and starts the threads. Port 0 takes
  /// a free one. The error says what could not be bound and why.
  tl::expected<void, std::string> listen(const std::string& address);
  [[nodiscard]] std::uint16_t port() const;
  /// Stops accepting, lets requests that are being answered finish (up to a second), joins.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::http
