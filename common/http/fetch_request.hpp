// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/http/client.hpp"
#include "common/http/url.hpp"

namespace optipod::http {

/// Immutable but for a hint, so any thread may read it.
class Fetcher::Request {
 public:
  Request(std::string url, std::shared_ptr<const ClientOptions> options);

  /// Why it cannot be asked; "" when it can.
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] const Url& parsed() const { return parsed_; }
  [[nodiscard]] const ClientOptions& options() const { return *options_; }
  [[nodiscard]] const std::shared_ptr<const ClientOptions>& shared_options() const {
    return options_;
  }

  /// Whom a connection may serve. One over TLS was shaken hands on for one server's name, as one
  /// client; its context lives as long as it is kept, so that no other has that address.
  [[nodiscard]] std::string connection_key() const;
  // How it has ended:
  [[nodiscard]] ClientError unasked() const;  ///< with error()
  [[nodiscard]] ClientError failure(std::string_view why,
                                    ClientError::Kind kind = ClientError::Kind::kConnection) const;
  [[nodiscard]] ClientError too_late(std::string_view doing) const;

  /// Makes `out` what is sent; with header_lines() of its options.
  void write(std::string& out, std::string_view header_lines) const;
  void write(std::string& out) const { write(out, header_lines(*options_)); }
  static std::string header_lines(const ClientOptions& options);

  /// Begins to fetch the memory of what sending it needs.
  void prefetch() const {
    for (std::size_t at = 0; at < sizeof *this; at += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(this) + at);
    }
  }
  /// No two have the same; not 0.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  /// Asks to the same host:port have the same.
  [[nodiscard]] std::size_t host_hash() const { return host_hash_; }
  /// Which of a Fetcher thread's connections has served it last: a hint, which that thread checks.
  [[nodiscard]] std::uint32_t served_by() const {
    return served_by_.load(std::memory_order_relaxed);
  }
  void set_served_by(std::uint32_t connection) const {
    served_by_.store(connection, std::memory_order_relaxed);
  }

 private:
  const std::uint64_t number_;
  mutable std::atomic<std::uint32_t> served_by_{~std::uint32_t{0}};
  std::size_t host_hash_ = 0;
  std::shared_ptr<const ClientOptions> options_;
  Url parsed_;
  std::string error_;
  std::string url_;
};

}  // namespace optipod::http
