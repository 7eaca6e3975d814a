// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "common/http/client.hpp"
#include "common/http/client_config.hpp"

namespace optipod::aggregator {

/// What targets are asked with, held once for all that have the same timeout. Not thread-safe.
class ScrapeRequests {
 public:
  /// `max_body_bytes`: that many are too many.
  ScrapeRequests(std::size_t max_body_bytes, bool gzip)
      : max_body_bytes_(max_body_bytes), gzip_(gzip) {}

  /// Whom to trust and who we are from now on; null: plain HTTP to anybody.
  void use(std::shared_ptr<const http::ClientConfig> config);
  /// Another each time use() is told something new; not 0.
  [[nodiscard]] std::uint32_t version() const { return version_; }
  /// The same pointer while the version is the same.
  std::shared_ptr<const http::ClientOptions> with(std::chrono::milliseconds timeout);

 private:
  const std::size_t max_body_bytes_;
  const bool gzip_;
  std::uint32_t version_ = 1;
  std::shared_ptr<const http::ClientConfig> config_;
  std::map<std::chrono::milliseconds, std::shared_ptr<const http::ClientOptions>> made_;
};

}  // namespace optipod::aggregator
