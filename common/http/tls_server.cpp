// SPDX-License-Identifier: Apache-2.0
#include "common/http/tls_server.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using Context = asio::ssl::context;
using ErrorCode = boost::system::error_code;
using Result = tl::expected<void, std::string>;
using ClientAuth = TlsServerOptions::ClientAuth;

Result identify(Context& context, const TlsServerOptions& options) {
  ErrorCode error;
  // Never ask on a terminal: a key with a password cannot be read.
  context.set_password_callback(
      [](std::size_t, Context::password_purpose) { return std::string(); }, error);
  context.use_certificate_chain(asio::buffer(options.certificate_pem), error);
  if (error) return tl::unexpected("cannot read the certificate: " + error.message());
  context.use_private_key(asio::buffer(options.key_pem), Context::pem, error);
  if (error) {
    return tl::unexpected("cannot use the key (not of the certificate, or encrypted?): " +
                          error.message());
  }
  return {};
}

Result limit_versions(SSL_CTX* context, const TlsServerOptions& options) {
  constexpr std::array<std::pair<std::string_view, int>, 4> kVersions = {
      {{"TLS10", TLS1_VERSION},
       {"TLS11", TLS1_1_VERSION},
       {"TLS12", TLS1_2_VERSION},
       {"TLS13", TLS1_3_VERSION}}};
  const auto number = [&](const std::string& name) {
    for (const auto& [known, version] : kVersions) {
      if (name == known) return version;
    }
    return 0;
  };
  const int least = number(options.min_version);
  const int most = number(options.max_version);
  if (least == 0 || most == 0) {
    return tl::unexpected("unknown TLS version " +
                          (least == 0 ? options.min_version : options.max_version) +
                          "; there are TLS10, TLS11, TLS12 and TLS13");
  }
  if (least > most) return tl::unexpected(std::string("min_version is above max_version"));
  SSL_CTX_set_min_proto_version(context, least);
  SSL_CTX_set_max_proto_version(context, most);
  return {};
}

Result choose_ciphers(SSL_CTX* context, const TlsServerOptions& options) {
  std::string list;
  for (const std::string& name : options.cipher_suites) {
    // Go has two names without the hash's.
    const bool cut = name.ends_with("_CHACHA20_POLY1305");
    const std::string_view known = OPENSSL_cipher_name((cut ? name + "_SHA256" : name).c_str());
    const bool tls13 = name.starts_with("TLS_AES_") || name.starts_with("TLS_CHACHA20_");
    if (known == "(NONE)") {
      return tl::unexpected("cipher_suites: " + name +
                            " is not known here; names are those of Go's crypto/tls");
    }
    if (!tls13) list.append(list.empty() ? "" : ":").append(known);  // those are always on
  }
  if (!list.empty() && SSL_CTX_set_cipher_list(context, list.c_str()) != 1) {
    return tl::unexpected("cipher_suites: none of them can be used here: " + list);
  }
  if (options.prefer_server_ciphers) SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
  return {};
}

Result choose_curves(SSL_CTX* context, const TlsServerOptions& options) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kCurves = {
      {{"CurveP256", "P-256"},
       {"CurveP384", "P-384"},
       {"CurveP521", "P-521"},
       {"X25519", "X25519"}}};
  std::string list;
  for (const std::string& name : options.curves) {
    const auto* const found = std::find_if(kCurves.begin(), kCurves.end(),
                                           [&](const auto& c) { return c.first == name; });
    if (found == kCurves.end()) {
      return tl::unexpected("curve_preferences: " + name +
                            " is none of CurveP256, CurveP384, CurveP521, X25519");
    }
    list.append(list.empty() ? "" : ":").append(found->second);
  }
  if (!list.empty() && SSL_CTX_set1_groups_list(context, list.c_str()) != 1) {
    return tl::unexpected("curve_preferences cannot be used here: " + list);
  }
  return {};
}

int accept_any(int, X509_STORE_CTX*) {
  return 1;
}

Result judge_clients(Context& context, const TlsServerOptions& options) {
  const ClientAuth policy = options.client_auth;
  const bool verify =
      policy == ClientAuth::kVerifyIfGiven || policy == ClientAuth::kRequireAndVerify;
  if (policy == ClientAuth::kNone && !options.client_ca_pem.empty()) {
    return tl::unexpected(
        std::string("a client CA is given, but client_auth_type does not ask for certificates"));
  }
  if (verify && options.client_ca_pem.empty()) {
    return tl::unexpected(
        std::string("this client_auth_type needs client_ca_file: whose certificates are good?"));
  }
  const bool required =
      policy == ClientAuth::kRequireAny || policy == ClientAuth::kRequireAndVerify;
  if (!options.allowed_sans.empty() && !required) {
    return tl::unexpected(
        std::string("client_allowed_sans needs client_auth_type RequireAnyClientCert or "
                    "RequireAndVerifyClientCert"));
  }
  int mode = policy == ClientAuth::kNone ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
  if (required) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(context.native_handle(), mode, verify ? nullptr : accept_any);
  if (options.client_ca_pem.empty()) return {};
  ErrorCode error;
  context.add_certificate_authority(asio::buffer(options.client_ca_pem), error);
  X509_STORE* const store = SSL_CTX_get_cert_store(context.native_handle());
  if (error || sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) == 0) {
    return tl::unexpected(std::string("the client CA holds no certificate that can be read"));
  }
  return {};
}

std::string name_of(const GENERAL_NAME* general) {
  int type = 0;
  const auto* const value =
      static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(general, &type));
  if (type != GEN_DNS && type != GEN_EMAIL && type != GEN_URI && type != GEN_IPADD) return {};
  const unsigned char* const bytes = ASN1_STRING_get0_data(value);
  const auto size = static_cast<std::size_t>(ASN1_STRING_length(value));
  if (type != GEN_IPADD) return {reinterpret_cast<const char*>(bytes), size};
  asio::ip::address_v4::bytes_type v4;
  asio::ip::address_v6::bytes_type v6;
  if (size == v4.size()) {
    std::copy_n(bytes, size, v4.begin());
    return asio::ip::make_address_v4(v4).to_string();
  }
  if (size != v6.size()) return {};
  std::copy_n(bytes, size, v6.begin());
  return asio::ip::make_address_v6(v6).to_string();
}

}  // namespace

tl::expected<std::shared_ptr<TlsServer>, std::string> TlsServer::make(
    const TlsServerOptions& options) {
  const std::shared_ptr<TlsServer> server(new TlsServer);
  Context& context = server->context_;
  SSL_CTX* const native = context.native_handle();
  // Without renegotiation and resumption: a change of the file counts from the next connection on.
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  server->allowed_sans_ = options.allowed_sans;
  Result done = identify(context, options);
  if (done) done = limit_versions(native, options);
  if (done) done = choose_ciphers(native, options);
  if (done) done = choose_curves(native, options);
  if (done) done = judge_clients(context, options);
  ERR_clear_error();
  if (!done) return tl::unexpected(done.error());
  return server;
}

bool TlsServer::admits(SSL* ssl) const {
  if (allowed_sans_.empty()) return true;
  X509* const certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return false;
  auto* const names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  bool found = false;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const std::string name = name_of(sk_GENERAL_NAME_value(names, i));
    found =
        found || std::find(allowed_sans_.begin(), allowed_sans_.end(), name) != allowed_sans_.end();
  }
  GENERAL_NAMES_free(names);
  return found;
}

}  // namespace optipod::http
