// SPDX-License-Identifier: Apache-2.0
//
// /query: the past is kept by a real Prometheus; its answers are passed on as they are.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>

#include <tl/expected.hpp>

#include "common/http/message.hpp"

namespace optipod::http {
class OriginClient;
}

namespace optipod::aggregator {

struct QueryLimits {
  std::chrono::milliseconds timeout{10'000};  ///< of one question, answer included
  std::size_t max_body_bytes = std::size_t{64} << 20;
  int max_active = 2;  ///< at once; one more is answered 503
};

/// Asks only the server it was made for, and says nothing of who asked. Thread-safe.
class QueryProxy {
 public:
  /// `url`: http[s]://host[:port][/prefix]; "": there is none, and every question is answered with
  /// what to do about it. Connects to nothing yet.
  static tl::expected<std::unique_ptr<QueryProxy>, std::string> make(const std::string& url,
                                                                     QueryLimits limits = {});
  ~QueryProxy();
  QueryProxy(const QueryProxy&) = delete;
  QueryProxy& operator=(const QueryProxy&) = delete;

  /// `q` (or `query`) with `time`, or with `start`, `end` and `step` (15s); from the query and, of
  /// a POST, from the form in the body. Blocks. Errors of our own are JSON as Prometheus': 400, 501
  /// without a server, 502 when it does not answer, 503 with Retry-After when too many ask.
  void serve(const http::Request& request, http::Response& response) const;

  /// Ends what is being asked at once, and whatever is asked later. From any thread.
  void stop() { stop_.request_stop(); }

 private:
  QueryProxy(std::unique_ptr<http::OriginClient> server, QueryLimits limits);
  void ask(const std::string& path, const std::string& form, http::Response& response) const;

  std::unique_ptr<http::OriginClient> server_;  ///< null: none
  const QueryLimits limits_;
  mutable std::atomic<int> active_ = 0;
  std::stop_source stop_;
};

}  // namespace optipod::aggregator
