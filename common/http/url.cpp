// SPDX-License-Identifier: Apache-2.0
#include "common/http/url.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace optipod::http {
namespace {

std::optional<std::uint16_t> parse_port(std::string_view s) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), port);
  if (s.empty() || error != std::errc() || end != s.data() + s.size()) return std::nullopt;
  return port;
}

/// Splits off the host; `rest` is then "" or starts with ':'.
std::optional<std::string> take_host(std::string_view& rest) {
  if (!rest.empty() && rest[0] == '[') {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos || end == 1) return std::nullopt;
    std::string host(rest.substr(1, end - 1));
    rest.remove_prefix(end + 1);
    if (host.find(':') == std::string::npos) return std::nullopt;
    return host;
  }
  const std::size_t end = std::min(rest.find(':'), rest.size());
  std::string host(rest.substr(0, end));
  rest.remove_prefix(end);
  return host;
}

}  // namespace

tl::expected<HostPort, std::string> parse_host_port(const std::string& address) {
  const auto fail = [&] {
    return tl::unexpected("\"" + address +
                          "\" is not an address; write host:port, :port or [v6]:port");
  };
  std::string_view rest = address;
  auto host = take_host(rest);
  if (!host || rest.empty() || rest[0] != ':') return fail();
  const auto port = parse_port(rest.substr(1));
  if (!port) return fail();
  return HostPort{std::move(*host), *port};
}

tl::expected<Url, std::string> parse_url(const std::string& url, Schemes schemes) {
  const auto fail = [&](std::string_view why) {
    return tl::unexpected("\"" + url + "\" " + std::string(why));
  };
  constexpr std::string_view kHttp = "http://";
  constexpr std::string_view kHttps = "https://";
  const bool both = schemes == Schemes::kHttpAndHttps;
  std::string_view rest = url;
  Url out;
  out.tls = both && rest.starts_with(kHttps);
  if (!out.tls && !rest.starts_with(kHttp)) {
    return fail(both ? "is not an http:// or https:// URL" : "is not an http:// URL");
  }
  rest.remove_prefix(out.tls ? kHttps.size() : kHttp.size());
  if (out.tls) out.port = 443;
  if (std::any_of(rest.begin(), rest.end(), [](char c) {
        return static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) == 0x7F;
      })) {
    return fail("has blanks or control characters");
  }
  if (rest.find('#') != std::string_view::npos) return fail("has a fragment");
  const std::size_t path = std::min(rest.find_first_of("/?"), rest.size());
  out.authority = rest.substr(0, path);
  out.target = rest.substr(path);
  if (out.target.empty() || out.target[0] == '?') out.target.insert(0, 1, '/');
  std::string_view authority = out.authority;
  if (authority.find('@') != std::string_view::npos) return fail("has a user name");
  auto host = take_host(authority);
  if (!host || host->empty()) return fail("has no host");
  out.host = std::move(*host);
  if (!authority.empty()) {
    const auto port = authority[0] == ':' ? parse_port(authority.substr(1)) : std::nullopt;
    if (!port || *port == 0) return fail("has no valid port");
    out.port = *port;
  }
  return out;
}

}  // namespace optipod::http
