// SPDX-License-Identifier: Apache-2.0
//
// HTTP as handlers see it: no library's types.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace optipod::http {

/// Readable bytes behind every Request::body, so that simdjson can parse it in place.
inline constexpr std::size_t kBodyPadding = 64;

/// A complete request. Views are valid during the handler's call only.
struct Request {
  std::string_view method;
  std::string_view path;   ///< without the query, percent-decoded
  std::string_view query;  ///< raw, without '?'
  std::string_view body;   ///< followed by kBodyPadding readable bytes
  std::function<std::string_view(std::string_view name)> header;  ///< "" when absent; name any case

  /// Values of a query parameter, percent-decoded, in order of appearance.
  [[nodiscard]] std::vector<std::string> params(std::string_view name) const;
  /// First value or "".
  [[nodiscard]] std::string param(std::string_view name) const;
  /// False when the query has an escape that means nothing: the two above leave out what holds it.
  [[nodiscard]] bool decodes() const;
};

struct Response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  /// Compress when the client accepts gzip and the body is large enough to be worth it.
  bool gzip = false;
  /// The body is gzip already, and the request's Accept-Encoding takes it.
  bool gzipped = false;
  /// Makes the rest of a long body, piece by piece, each when the one before has been sent:
  /// replaces `piece` and says whether there is more behind it. Runs on the server's threads, so a
  /// piece should be small and must not block; outlives the request. An exception ends the
  /// connection in the middle of the body.
  std::function<bool(std::string& piece)> more;
  /// Work of the request that its client need not wait for: called once the kernel has been given
  /// the reply, or as much of it as it takes at once, or the connection has ended. Of the request
  /// the body is still there. On the handler's thread, before that does anything else, but with no
  /// place of a lane; on a server thread where the route is slow. Must not block. An exception is
  /// logged.
  std::function<void()> afterwards;
};

/// Runs on a server thread; must not block, unless its route is slow. Handlers run at the same time
/// when the server has several threads. An exception becomes 500 with an empty body and a log line.
using Handler = std::function<void(const Request&, Response&)>;

/// How requests of a route are treated when more come than can be handled at once (ServerLimits).
struct RouteOptions {
  /// Answers instead of the handler when there is no place for the request; must be cheap, as
  /// nothing bounds how many run at once. None: 503 with an empty body.
  Handler overloaded = {};
  /// The handler may block for seconds: it runs on the slow threads, and holds up no other route.
  bool slow = false;
  /// Never turned away: these routes have a place of their own, where one request is handled at a
  /// time and the others wait for it as long as it takes. For what tells how the program is.
  bool always = false;
};

}  // namespace optipod::http
