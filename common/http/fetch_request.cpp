// SPDX-License-Identifier: Apache-2.0
#include "common/http/fetch_request.hpp"

#include <utility>

#include <fmt/format.h>

#include "common/http/head.hpp"
#include "config.h"

namespace optipod::http {

Fetcher::Request::Request(std::string url, std::shared_ptr<const ClientOptions> options)
    : url_(std::move(url)), options_(std::move(options)) {
  auto parsed = parse_url(url_, Schemes::kHttpAndHttps);
  if (!parsed) {
    error_ = "GET " + parsed.error();
    return;
  }
  parsed_ = std::move(*parsed);
  if (parsed_.tls && !options_->tls) {
    error_ = fmt::format("GET {}: https, but no TLS options are given", url_);
  }
  for (const auto& [name, value] : options_->headers) {
    if (header_is_safe(name, value)) continue;
    error_ = fmt::format("GET {}: a header to send has a line break or no name", url_);
  }
}

std::string Fetcher::Request::connection_key() const {
  if (!parsed_.tls) return parsed_.authority;
  return fmt::format("{} {} {}", parsed_.authority, options_->tls->server_name(),
                     static_cast<const void*>(options_->tls->context().get()));
}

ClientResult Fetcher::Request::unasked() const {
  return tl::unexpected(ClientError{.what = error_});
}

ClientResult Fetcher::Request::failure(std::string_view why, ClientError::Kind kind) const {
  return tl::unexpected(ClientError{kind, fmt::format("GET {}: {}", url_, why)});
}

ClientResult Fetcher::Request::too_late(std::string_view doing) const {
  return failure(
      fmt::format("no complete answer in {} ms, while {}", options_->timeout.count(), doing),
      ClientError::Kind::kTimeout);
}

void Fetcher::Request::write(std::string& out) const {
  out.assign("GET ").append(parsed_.target).append(" HTTP/1.1\r\nHost: ");
  out.append(parsed_.authority).append("\r\nUser-Agent: OptiPod/" OPTIPOD_VERSION "\r\n");
  for (const auto& [name, value] : options_->headers) {
    out.append(name).append(": ").append(value).append("\r\n");
  }
  out.append("\r\n");
}

}  // namespace optipod::http
