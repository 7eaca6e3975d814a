// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include <tl/expected.hpp>

namespace optipod::http {

/// http[s]://host[:port]/path[?query]
struct Url {
  bool tls = false;  ///< https
  std::string host;  ///< without the brackets of an IPv6 address
  std::uint16_t port = 80;
  std::string target;     ///< path and query, at least "/"
  std::string authority;  ///< as it stands in the URL: the Host header, and the key of a connection
};

enum class Schemes { kHttp, kHttpAndHttps };

/// The error says what is wrong with it. No user, no fragment, nothing that could break a head.
tl::expected<Url, std::string> parse_url(const std::string& url, Schemes schemes = Schemes::kHttp);

/// Splits "host:port", ":port" or "[v6]:port"; the port is required.
struct HostPort {
  std::string host;  ///< "" for all addresses
  std::uint16_t port = 0;
};
tl::expected<HostPort, std::string> parse_host_port(const std::string& address);

}  // namespace optipod::http
