// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <boost/asio/ssl/context.hpp>
#include <tl/expected.hpp>

#include "common/http/tls.hpp"

namespace optipod::http {

/// The TLS side of a client, for any number of connections and threads. The error says which of the
/// options is wrong, and how.
tl::expected<std::shared_ptr<boost::asio::ssl::context>, std::string> make_tls_context(
    const TlsOptions& options);

/// Whom the server's certificate must be for: a host's name, or an address. Before the handshake.
void expect_name(SSL* ssl, const std::string& name);

/// What the handshake of `ssl` failed with, in words a person can act on.
std::string describe_handshake_failure(SSL* ssl, const boost::system::error_code& error);

}  // namespace optipod::http
