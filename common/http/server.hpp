// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "common/http/message.hpp"

namespace optipod::http {

struct ServerLimits {
  std::size_t max_head_bytes = 16 * 1024;
  std::size_t max_body_bytes = 1024 * 1024;  ///< also of chunked bodies
  /// Of all bodies at once, as far as each is over 1 MiB; what would take more is answered 503.
  /// 0: each has its max_body_bytes.
  std::size_t max_all_bodies_bytes = 0;
  std::size_t max_connections = 512;               ///< one more is answered 503 and closed
  std::chrono::milliseconds read_timeout{10'000};  ///< from the first byte of a request to its last
  std::chrono::milliseconds write_timeout{10'000};
  std::chrono::milliseconds idle_timeout{90'000};  ///< kept-alive connection without a request

  // Overload. A request that finds no place waits in a queue, in order of arrival; what the queue
  // cannot hold, and what has waited for too long, gets its route's overload answer at once. A
  // client that closed its side while it waited gets no answer, and costs no handler.
  std::size_t max_active = 0;  ///< handlers at once; 0: as many as the server has threads
  /// Whole requests that wait for one of them to end; no more than there are connections.
  std::size_t max_queued = 1024;
  std::chrono::milliseconds queue_deadline{10'000};  ///< of waiting, from the last byte read
  std::size_t slow_threads = 4;                      ///< handlers of slow routes at once
  std::size_t slow_queue = 64;                       ///< whole requests that wait for these
  /// Of their waiting; else queue_deadline.
  std::optional<std::chrono::milliseconds> slow_deadline;
};

/// What overload has done since the start, and what waits at the moment.
struct ServerStats {
  struct TurnedAway {
    std::string route;  ///< its path as registered, whatever the method
    std::uint64_t queue_full = 0, deadline = 0;
  };
  std::vector<TurnedAway> turned_away;  ///< every route, also with none
  std::size_t active = 0, queued = 0;   ///< requests in handlers of normal routes, and waiting
  std::size_t slow_active = 0, slow_queued = 0;  ///< of slow routes
};

/// HTTP/1.1 server on Boost.Beast. Idle connections cost a file descriptor, never a thread. Answers
/// by itself: 404, 405 (with Allow), 400 malformed, 408 slow, 413 too large, 431 long head, 503
/// full; HEAD for every GET route. A reply has a Content-Length and is written in one piece, unless
/// its handler makes the body in pieces; write_timeout is for all of it. Non-200 replies it makes
/// itself have an empty body.
///
/// A handler runs on the thread that read its request, when there is a place for it. One thread
/// does everything as long as handlers end soon; when it does not come back from them for some
/// milliseconds, or hardly ever leaves them, another joins, and so on up to two more than
/// max_active, so that sockets are read and other answers given meanwhile. A server with one thread
/// and no max_active does all on that one, one request after the other, which is cheapest; its
/// handlers never run at the same time. Handlers of slow routes have their own threads in any case.
class Server {
 public:
  explicit Server(ServerLimits limits = {}, unsigned threads = 1);
  ~Server();  ///< as stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Before listen(). `path` is exact, or a prefix when it ends in "/*".
  void route(std::string_view method, std::string_view path, Handler handler,
             RouteOptions options = {});

  /// Called after each reply with the route as registered ("" when none matched), the status and
  /// the time from the last byte of the request read to the last byte of the reply handed to the
  /// kernel, waiting included. Also of overload answers; stats() tells them apart.
  using Observer =
      std::function<void(std::string_view route, unsigned status, std::chrono::nanoseconds)>;
  void observe(Observer observer);

  /// Binds "host:port", ":port" (all addresses) or "[v6]:port" and starts the threads. Port 0 takes
  /// a free one. `web_config_file`: TLS, who is let in, and headers, as the Prometheus exporter
  /// toolkit defines it (web_config.hpp); "": plain HTTP, for anybody. The error names the flag
  /// that the programs take it from (common/app/web_options.hpp), what could not be bound or read,
  /// why, and what to do.
  tl::expected<void, std::string> listen(const std::string& address,
                                         const std::string& web_config_file = {});
  [[nodiscard]] std::uint16_t port() const;
  /// From any thread, once all routes are there.
  [[nodiscard]] ServerStats stats() const;
  /// Stops accepting, lets requests that are being answered or wait for it finish (up to a second),
  /// joins. Those that wait for a slow handler get the overload answer at once. A slow handler that
  /// has not ended by then is left behind: its connection is closed, its thread detached and named
  /// in the log, and all of the server that it uses lives until it returns, and so do all handlers
  /// and what they captured by value. What it only refers to must live as long; who cannot promise
  /// that should give slow handlers time limits under a second, or leave the process without
  /// destroying anything (std::quick_exit) when this returns other than 0: how many were left. A
  /// handler on the other threads that never ends is waited for: it must not block.
  std::size_t stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  ///< also held by slow threads
};

}  // namespace optipod::http
