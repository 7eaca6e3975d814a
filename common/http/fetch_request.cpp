// SPDX-License-Identifier: Apache-2.0
#include "common/http/fetch_request.hpp"

#include <functional>
#include <utility>

#include <fmt/format.h>

#include "common/http/head.hpp"
#include "config.h"

namespace optipod::http {

namespace {

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

}  // namespace

Fetcher::Request::Request(std::string url, std::shared_ptr<const ClientOptions> options)
    : number_(next_number()), options_(std::move(options)), url_(std::move(url)) {
  auto parsed = parse_url(url_, Schemes::kHttpAndHttps);
  if (!parsed) {
    error_ = "GET " + parsed.error();
    return;
  }
  parsed_ = std::move(*parsed);
  host_hash_ = std::hash<std::string>()(parsed_.authority);
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

ClientError Fetcher::Request::unasked() const {
  return {.what = error_};
}

ClientError Fetcher::Request::failure(std::string_view why, ClientError::Kind kind) const {
  return {kind, fmt::format("GET {}: {}", url_, why)};
}

ClientError Fetcher::Request::too_late(std::string_view doing) const {
  return failure(
      fmt::format("no complete answer in {} ms, while {}", options_->timeout.count(), doing),
      ClientError::Kind::kTimeout);
}

std::string Fetcher::Request::header_lines(const ClientOptions& options) {
  std::string lines = "User-Agent: OptiPod/" OPTIPOD_VERSION "\r\n";
  for (const auto& [name, value] : options.headers) {
    lines.append(name).append(": ").append(value).append("\r\n");
  }
  return lines;
}

void Fetcher::Request::write(std::string& out, std::string_view header_lines) const {
  out.assign("GET ").append(parsed_.target).append(" HTTP/1.1\r\nHost: ");
  out.append(parsed_.authority).append("\r\n").append(header_lines).append("\r\n");
}

}  // namespace optipod::http
