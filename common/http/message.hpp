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
};

struct Response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  /// Compress when the client accepts gzip and the body is large enough to be worth it.
  bool gzip = false;
};

/// Runs on a server thread; must not block. An exception becomes 500 with an empty body and a log
/// line.
using Handler = std::function<void(const Request&, Response&)>;

}  // namespace optipod::http
