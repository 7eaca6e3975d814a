// SPDX-License-Identifier: Apache-2.0
#include "aggregator/query.hpp"

#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/http/origin_client.hpp"
#include "common/http/percent.hpp"

namespace optipod::aggregator {
namespace {

constexpr std::string_view kDefaultStep = "15s";
constexpr std::size_t kLongestTarget = 4096;  ///< what is longer goes into a body

void fail(http::Response& response, unsigned status, std::string_view type, std::string_view what) {
  response.status = status;
  response.content_type = "application/json";
  response.body =
      nlohmann::ordered_json{{"status", "error"}, {"errorType", type}, {"error", what}}.dump(
          -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
      "\n";
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
}

/// Parameters of the query and of a form in the body.
class Form {
 public:
  explicit Form(const http::Request& request) : query_(request) {
    if (request.method == "POST") body_.query = request.body;
  }
  [[nodiscard]] std::string get(std::string_view name) const {
    std::string value = query_.param(name);
    return value.empty() ? body_.param(name) : value;
  }
  [[nodiscard]] bool decodes() const { return query_.decodes() && body_.decodes(); }

 private:
  const http::Request& query_;
  http::Request body_;
};

void add(std::string& form, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  if (!form.empty()) form.push_back('&');
  form.append(name).append("=").append(http::percent_encode(value));
}

}  // namespace

QueryProxy::QueryProxy(std::unique_ptr<http::OriginClient> server, QueryLimits limits)
    : server_(std::move(server)), limits_(limits) {}
QueryProxy::~QueryProxy() = default;

tl::expected<std::unique_ptr<QueryProxy>, std::string> QueryProxy::make(const std::string& url,
                                                                        QueryLimits limits) {
  std::unique_ptr<http::OriginClient> server;
  if (!url.empty()) {
    auto made = http::OriginClient::make(url);
    if (!made) return tl::unexpected(fmt::format("--prometheus-url {}: {}", url, made.error()));
    server = std::move(*made);
  }
  return std::unique_ptr<QueryProxy>(new QueryProxy(std::move(server), limits));
}

void QueryProxy::serve(const http::Request& request, http::Response& response) const {
  const Form form(request);
  if (!form.decodes()) return fail(response, 400, "bad_data", "an invalid escape, as %zz");
  std::string query = form.get("q");
  if (query.empty()) query = form.get("query");
  if (query.empty()) return fail(response, 400, "bad_data", "Missing query parameter 'q'");
  if (!server_) {
    return fail(response, 501, "unavailable",
                "no Prometheus to ask for the past: start optipod-aggregator with "
                "--prometheus-url, for example http://127.0.0.1:9090");
  }
  const std::string start = form.get("start"), end = form.get("end");
  if (start.empty() != end.empty()) {
    return fail(response, 400, "bad_data", "a range needs both 'start' and 'end'");
  }
  std::string out;
  add(out, "query", query);
  if (start.empty()) {
    add(out, "time", form.get("time"));
  } else {
    add(out, "start", start);
    add(out, "end", end);
    const std::string step = form.get("step");
    add(out, "step", step.empty() ? kDefaultStep : step);
  }
  for (const char* name : {"timeout", "limit", "lookback_delta", "stats"}) {
    add(out, name, form.get(name));
  }
  ask(start.empty() ? "/api/v1/query" : "/api/v1/query_range", out, response);
}

void QueryProxy::ask(const std::string& path, const std::string& form,
                     http::Response& response) const {
  struct Place {
    explicit Place(std::atomic<int>& count) : active(count), number(++count) {}
    ~Place() { --active; }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    std::atomic<int>& active;
    const int number;
  };
  const Place place(active_);
  if (place.number > limits_.max_active) {
    return fail(response, 503, "unavailable",
                fmt::format("{} questions are being asked; try again", limits_.max_active));
  }
  http::OriginRequest request{.target = path + "?" + form,
                              .headers = {{"Accept", "application/json"}},
                              .body = {},
                              .timeout = limits_.timeout,
                              .max_body_bytes = limits_.max_body_bytes,
                              .stop = stop_.get_token()};
  if (request.target.size() > kLongestTarget) {
    request.method = "POST";
    request.target = path;
    request.body = form;
    request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    request.fresh = true;  // a POST is not made again on a connection that turns out dead
  }
  auto reply = server_->send(request);
  if (!reply) {
    return fail(response, 502, "unavailable",
                fmt::format("the Prometheus of --prometheus-url: {}", reply.error().message));
  }
  response.status = reply->status;
  response.content_type = std::move(reply->content_type);
  response.body = std::move(reply->body);
  response.gzip = true;
}

}  // namespace optipod::aggregator
