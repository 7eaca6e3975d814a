// SPDX-License-Identifier: Apache-2.0
#include "common/http/tls_context.hpp"

#include <string_view>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using Context = asio::ssl::context;
using ErrorCode = boost::system::error_code;

tl::expected<void, std::string> trust(Context& context, const TlsOptions& options) {
  ErrorCode error;
  if (!options.verify) {
    context.set_verify_mode(asio::ssl::verify_none, error);
    return {};
  }
  context.set_verify_mode(asio::ssl::verify_peer, error);
  // A trusted certificate ends the chain also when it is not a root, as it does for Go's clients.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context.native_handle()),
                              X509_V_FLAG_PARTIAL_CHAIN);
  if (options.ca_pem.empty()) {
    context.set_default_verify_paths(error);
    if (error) return tl::unexpected("cannot read the system's certificates: " + error.message());
    return {};
  }
  if (options.ca_pem.find("-----BEGIN ") == std::string::npos) {
    return tl::unexpected(
        std::string("the certificate authority is not PEM: no \"-----BEGIN CERTIFICATE-----\""));
  }
  context.add_certificate_authority(asio::buffer(options.ca_pem), error);
  if (error) return tl::unexpected("cannot read the certificate authority: " + error.message());
  if (sk_X509_OBJECT_num(
          X509_STORE_get0_objects(SSL_CTX_get_cert_store(context.native_handle()))) == 0) {
    return tl::unexpected(std::string("the certificate authority holds no certificate"));
  }
  return {};
}

tl::expected<void, std::string> identify(Context& context, const TlsOptions& options) {
  if (options.certificate_pem.empty() && options.key_pem.empty()) return {};
  if (options.certificate_pem.empty())
    return tl::unexpected(std::string("a client key without a certificate"));
  if (options.key_pem.empty())
    return tl::unexpected(std::string("a client certificate without its key"));
  ErrorCode error;
  // Never ask on a terminal: a key with a password cannot be read.
  context.set_password_callback(
      [](std::size_t, Context::password_purpose) { return std::string(); }, error);
  context.use_certificate_chain(asio::buffer(options.certificate_pem), error);
  if (error) return tl::unexpected("cannot read the client certificate: " + error.message());
  context.use_private_key(asio::buffer(options.key_pem), Context::pem, error);
  if (error) {
    return tl::unexpected("cannot use the client key (not of the certificate, or encrypted?): " +
                          error.message());
  }
  return {};
}

}  // namespace

tl::expected<std::shared_ptr<Context>, std::string> make_tls_context(const TlsOptions& options) {
  auto context = std::make_shared<Context>(Context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);  // thousands are idle
  if (auto trusted = trust(*context, options); !trusted) return tl::unexpected(trusted.error());
  if (auto named = identify(*context, options); !named) return tl::unexpected(named.error());
  return context;
}

/// OpenSSL checks it itself, so that a failure is told apart.
void expect_name(SSL* ssl, const std::string& name) {
  ErrorCode not_literal;
  asio::ip::make_address(name, not_literal);
  if (!not_literal) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
    return;
  }
  SSL_set_tlsext_host_name(ssl, name.c_str());
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  SSL_set1_host(ssl, name.c_str());
}

std::string describe_handshake_failure(SSL* ssl, const ErrorCode& error) {
  const long verified = SSL_get_verify_result(ssl);
  if (verified == X509_V_OK) return "TLS handshake: " + error.message();
  std::string out = "the server's certificate is not accepted: ";
  out += X509_verify_cert_error_string(verified);
  switch (verified) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return out + " (use a name it holds, or set the TLS server name)";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return out + " (is the certificate authority the server's?)";
    default:
      return out;
  }
}

}  // namespace optipod::http
