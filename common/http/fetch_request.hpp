// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/http/client.hpp"
#include "common/http/url.hpp"

namespace optipod::http {

/// Immutable, so any thread may read it.
class Fetcher::Request {
 public:
  Request(std::string url, std::shared_ptr<const ClientOptions> options);

  /// Why it cannot be asked; "" when it can.
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] const Url& parsed() const { return parsed_; }
  [[nodiscard]] const ClientOptions& options() const { return *options_; }

  /// Whom a connection may serve. One over TLS was shaken hands on for one server's name, as one
  /// client; its context lives as long as it is kept, so that no other has that address.
  [[nodiscard]] std::string connection_key() const;
  // How it has ended:
  [[nodiscard]] ClientResult unasked() const;  ///< with error()
  [[nodiscard]] ClientResult failure(std::string_view why,
                                     ClientError::Kind kind = ClientError::Kind::kConnection) const;
  [[nodiscard]] ClientResult too_late(std::string_view doing) const;

  /// Makes `out` what is sent.
  void write(std::string& out) const;

 private:
  std::string url_;
  Url parsed_;
  std::shared_ptr<const ClientOptions> options_;
  std::string error_;
};

}  // namespace optipod::http
