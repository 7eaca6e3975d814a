// SPDX-License-Identifier: Apache-2.0
//
// The TLS side of a server, as the Prometheus exporter toolkit configures it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/ssl/context.hpp>
#include <tl/expected.hpp>

namespace optipod::http {

/// All texts are PEM, in memory. Names are those of Go, as in web.config.yml.
struct TlsServerOptions {
  enum class ClientAuth { kNone, kRequest, kRequireAny, kVerifyIfGiven, kRequireAndVerify };

  std::string certificate_pem, key_pem;  ///< a chain and its key
  ClientAuth client_auth = ClientAuth::kNone;
  std::string client_ca_pem;              ///< who issues clients' certificates
  std::vector<std::string> allowed_sans;  ///< one of them must be in the client's; none: any
  std::string min_version = "TLS12", max_version = "TLS13";
  std::vector<std::string> cipher_suites;  ///< of TLS 1.2 and below; none: the library's
  bool prefer_server_ciphers = true;
  std::vector<std::string> curves;  ///< none: the library's
};

/// For any number of connections and threads.
class TlsServer {
 public:
  /// The error says which of the options is wrong, and how.
  static tl::expected<std::shared_ptr<TlsServer>, std::string> make(
      const TlsServerOptions& options);

  [[nodiscard]] boost::asio::ssl::context& context() { return context_; }
  /// After a handshake: whether the client's certificate has one of the allowed names.
  [[nodiscard]] bool admits(SSL* ssl) const;

 private:
  TlsServer() = default;

  boost::asio::ssl::context context_{boost::asio::ssl::context::tls_server};
  std::vector<std::string> allowed_sans_;
};

}  // namespace optipod::http
