// SPDX-License-Identifier: Apache-2.0
//
// Requests to one origin over http or https, whole or as a stream of bytes, which the calling
// thread waits for. Where get() and post() of client.hpp are one connection each, this keeps
// connections, speaks TLS and can be stopped.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "common/http/tls.hpp"

namespace optipod::http {

struct OriginRequest {
  std::string method = "GET";
  std::string target = "/";  ///< path and query, escaped; the origin's own path comes before it
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// Of send(): where to put the reply's body, instead of into new memory. A large reply that comes
  /// again and again is cheaper in the memory of the one before it.
  std::string* room = nullptr;
  /// Whole request: connect, send, receive. For stream(): until the head of the reply has come.
  std::chrono::milliseconds timeout{10'000};
  std::size_t max_body_bytes = 16 * 1024 * 1024;
  bool fresh = false;    ///< on a new connection, not a kept-alive one
  std::stop_token stop;  ///< ends the request at once, in whatever it waits for
};

struct OriginReply {
  unsigned status = 0;
  std::string body;  ///< empty where it is in OriginRequest::room. Of stream(): only when the
                     ///< status is not 200, and cut to 64 KiB
  std::string content_type;
  std::chrono::seconds retry_after{0};  ///< Retry-After in seconds, at most an hour
  bool complete = true;                 ///< false: the sink of stream() ended it
};

struct OriginError {
  std::string message;  ///< what, where and why
  bool sent = false;    ///< the request may have reached the server
  bool reused = false;  ///< a kept-alive connection turned out dead: not a byte of a reply came
};

struct StreamOptions {
  std::chrono::milliseconds quiet{90'000};  ///< longest time without a byte of the body
  std::chrono::milliseconds total{0};       ///< of the whole body; 0: any
  std::chrono::milliseconds gather{0};      ///< as Patience::gather; a stop waits for it
  /// The reply's head has come, with status 200 and this Content-Type.
  std::function<void(const std::string& content_type)> opened;
};
/// Takes the next bytes of a body; false ends the stream without an error.
using BodySink = std::function<bool(std::string_view bytes)>;

/// Thread-safe; each call has a connection of its own, from a small pool of kept-alive ones.
/// Replies are bounded in head, body and time; compressed ones are not asked for, and refused.
class OriginClient {
 public:
  /// `url`: http[s]://host[:port][/prefix]. Connects to nothing yet. The error says which of the
  /// options cannot be used, and why.
  static tl::expected<std::unique_ptr<OriginClient>, std::string> make(const std::string& url,
                                                                       const TlsOptions& tls = {});
  ~OriginClient();
  OriginClient(const OriginClient&) = delete;
  OriginClient& operator=(const OriginClient&) = delete;

  /// One request. A GET that finds its kept-alive connection dead is made once more on a new one;
  /// nothing else is ever sent twice.
  tl::expected<OriginReply, OriginError> send(const OriginRequest& request) const;

  /// One request whose body goes to `sink` as it comes, when the status is 200. Ends when the body
  /// does, with the reply; any other end is an error.
  tl::expected<OriginReply, OriginError> stream(const OriginRequest& request,
                                                const StreamOptions& options,
                                                const BodySink& sink) const;

 private:
  struct Impl;
  explicit OriginClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::http
