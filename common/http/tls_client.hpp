// SPDX-License-Identifier: Apache-2.0
//
// The TLS side of outgoing requests.
#pragma once

#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "common/http/tls.hpp"

namespace boost::asio::ssl {
class context;
}

namespace optipod::http {

/// For any number of connections and threads.
class TlsClient {
 public:
  using Context = boost::asio::ssl::context;

  /// The error says which of the options is wrong, and how.
  static tl::expected<std::shared_ptr<const TlsClient>, std::string> make(
      const TlsOptions& options);

  [[nodiscard]] const std::shared_ptr<Context>& context() const { return context_; }
  /// What the certificate must be for; "": the URL's host.
  [[nodiscard]] const std::string& server_name() const { return server_name_; }

 private:
  TlsClient(std::shared_ptr<Context> context, std::string server_name);

  std::shared_ptr<Context> context_;
  std::string server_name_;
};

}  // namespace optipod::http
