// SPDX-License-Identifier: Apache-2.0
//
// Fetches series from an aggregator or any Prometheus, again and again, on a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "common/http/configured_client.hpp"

namespace optipod::extender {

struct SourceOptions {
  /// An aggregator or any Prometheus, http[s]://host:port[/prefix]; /federate is appended.
  std::string url = "http://127.0.0.1:5000";
  /// Whom to trust there and who we are; null: the system's authorities, nobody.
  std::shared_ptr<http::ClientConfigFile> client_config;
  std::string match;
  std::chrono::milliseconds interval{500};
  std::chrono::milliseconds timeout{2'000};
  std::size_t max_body_bytes = 256 * 1024 * 1024;
};

/// One fetch.
struct Fetched {
  enum class Result { kOk, kUnreachable, kStatus };
  Result result = Result::kOk;
  std::string_view text;  ///< kOk: the body; else what is wrong, and where. Valid during the call
};

/// Calls `take` on its thread after each fetch, good or bad, until it is destroyed.
class Source {
 public:
  using Take = std::function<void(const Fetched& fetched, std::chrono::nanoseconds took)>;
  Source(SourceOptions options, Take take);
  ~Source();  ///< ends a fetch that is under way
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

 private:
  [[nodiscard]] Fetched::Result fetch(const std::stop_token& stop);
  void run(const std::stop_token& stop);

  const SourceOptions options_;
  const Take take_;
  // Its thread's:
  http::ConfiguredClient client_;
  std::string text_;  ///< Fetched::text; its memory serves again
  std::jthread thread_;
};

}  // namespace optipod::extender
