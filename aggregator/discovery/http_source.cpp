// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery/http_source.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

#include <fmt/format.h>

#include "aggregator/discovery/polled_source.hpp"
#include "common/http/configured_client.hpp"
#include "common/http/url.hpp"

namespace optipod::aggregator {
namespace {

constexpr std::chrono::seconds kTimeout{10};
constexpr std::size_t kMaxBytes = 64 * 1024 * 1024;

/// application/json, in UTF-8 when it says so.
bool is_json(std::string_view content_type) {
  std::string type;
  for (const char c : content_type) {
    if (c != ' ') type += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return type == "application/json" || type == "application/json;charset=utf-8" ||
         type == "application/json;charset=\"utf-8\"";
}

/// One thread's.
class HttpList {
 public:
  HttpList(const http::Url& url, std::chrono::milliseconds interval,
           std::shared_ptr<http::ClientConfigFile> config)
      : client_((url.tls ? "https://" : "http://") + url.authority, std::move(config)) {
    request_.target = url.target;
    request_.timeout = std::min<std::chrono::milliseconds>(kTimeout, interval);
    request_.max_body_bytes = kMaxBytes;
    request_.headers = {{"Accept", "application/json"},
                        {"X-Prometheus-Refresh-Interval-Seconds",
                         fmt::format("{}", std::chrono::duration<double>(interval).count())}};
  }

  TargetList fetch(const std::stop_token& stop) {
    request_.stop = stop;
    const auto reply = client_.send(request_);
    if (!reply) return tl::unexpected(reply.error().message);
    if (reply->status != 200) return tl::unexpected(fmt::format("status {}", reply->status));
    if (!is_json(reply->content_type)) {
      return tl::unexpected(fmt::format("Content-Type \"{}\" is not application/json",
                                        reply->content_type.substr(0, 100)));
    }
    return parse_file_sd(reply->body, FileFormat::kJson);
  }

 private:
  http::ConfiguredClient client_;
  http::OriginRequest request_;
};

}  // namespace

tl::expected<std::unique_ptr<Source>, std::string> make_http_source(
    const std::string& url, std::chrono::milliseconds interval,
    std::shared_ptr<http::ClientConfigFile> config) {
  const auto parsed = http::parse_url(url, http::Schemes::kHttpAndHttps);
  if (!parsed) return tl::unexpected("--http-sd: " + parsed.error());
  const auto list = std::make_shared<HttpList>(*parsed, interval, std::move(config));
  return std::make_unique<PolledSource>(
      "http-sd", url, interval, [list](const std::stop_token& stop) { return list->fetch(stop); });
}

}  // namespace optipod::aggregator
