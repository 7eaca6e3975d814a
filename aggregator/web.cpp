// SPDX-License-Identifier: Apache-2.0
#include "aggregator/web.hpp"

#include <chrono>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "aggregator/derived_series.hpp"
#include "aggregator/selector.hpp"
#include "common/http/accept.hpp"
#include "common/http/server.hpp"
#include "common/http/standard_routes.hpp"
#include "common/text/exposition.hpp"

namespace optipod::aggregator {
namespace {

using Json = nlohmann::ordered_json;

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// What a target said may not be UTF-8; a replacement character is better than no answer.
std::string text_of(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json known(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json seconds(std::int64_t ms) {
  return ms == 0 ? Json(nullptr) : Json(static_cast<double>(ms) / 1e3);
}

Json window(const Derived::Window& w) {
  return {{"cpu_utilization", known(w.cpu_utilization)},
          {"cpu_runqueue_wait", known(w.runqueue_wait)},
          {"cpu_contention", known(w.contention)},
          {"cpu_runqueue_wait_p95_seconds", known(w.runqueue_wait_p95)},
          {"memory_stall", known(w.memory_stall)},
          {"io_stall", known(w.io_stall)},
          {"block_io_latency_p95_seconds", known(w.block_io_latency_p95)},
          {"network_loss", known(w.network_loss)}};
}

constexpr std::string_view kNotReady = "the first sweep over the targets is not over";

void reply(http::Response& response, unsigned status, std::string body) {
  response.status = status;
  response.body = std::move(body);
}

void serve_federate(const http::Request& request, http::Response& response, const Served& served) {
  if (!request.decodes()) {  // what a match[] cannot be read from must not be as good as none
    served.self.bad_selector();
    return reply(response, 400, "the query has an invalid escape, as %zz\n");
  }
  std::vector<Selector> selectors;
  for (const std::string& match : request.params("match[]")) {
    auto selector = Selector::parse(match);
    if (!selector) {
      served.self.bad_selector();
      reply(response, 400, selector.error() + "\n");
      return;
    }
    selectors.push_back(std::move(*selector));
  }
  if (!served.ready()) {
    reply(response, 503, std::string(kNotReady) + "\n");
    return;
  }
  FederateOptions options = served.federation;
  const bool protobuf = http::accepted_format(request.header("Accept")) == text::Format::kProtobuf;
  options.format = protobuf ? text::Format::kProtobuf : text::Format::kText;
  response.content_type = protobuf ? text::kProtobufContentType : text::kContentType;
  response.headers.emplace_back("Vary", "Accept");
  response.gzip = true;
  const std::int64_t now = unix_ms();
  const auto body = std::make_shared<FederateBody>(served.store.views(), served.pushed.series(now),
                                                   selectors, now, options);
  const auto more = [body, &self = served.self](std::string& piece) {
    piece.clear();
    const std::size_t before = body->written();
    const bool goes_on = body->next(piece);
    self.federated(body->written() - before);
    return goes_on;
  };
  if (more(response.body)) response.more = more;
}

/// Of what finds no place among the slow requests.
void turn_away(const http::Request&, http::Response& response) {
  reply(response, 503, "too many requests at once; try again\n");
  response.headers.emplace_back("Retry-After", "1");
}

void serve_update(const http::Request& request, http::Response& response, Pushed& pushed) {
  const auto taken = pushed.update(request.body, unix_ms());
  response.content_type = "application/json";
  if (taken) {
    response.body = "{\"status\":\"Metrics updated\"}\n";
    return;
  }
  reply(response, taken.error().status, Json{{"error", taken.error().what}}.dump() + "\n");
  if (response.status == 503) response.headers.emplace_back("Retry-After", "60");
}

Json node_json(const TargetView& view, std::int64_t now_ms) {
  const Target& target = *view.target;
  const Figures d = figures_of(view.derived);
  const Json age = view.measured_ms == 0
                       ? Json(nullptr)
                       : Json(static_cast<double>(now_ms - view.measured_ms) / 1e3);
  return {{"node", target.node},
          {"target", target.url()},
          {"up", view.up},
          {"agent_up", view.agent_up},
          {"last_scrape", seconds(view.scraped_ms)},
          {"last_sample", seconds(view.measured_ms)},
          {"age_seconds", age},
          {"last_error", view.error.empty() ? Json(nullptr) : Json(view.error)},
          {"scrapes", view.scrapes},
          {"failures", view.failures},
          {"scrape_duration_seconds", view.duration_seconds},
          {"samples", view.samples},
          {"cpus", known(d.cpus)},
          {"memory_bytes", known(d.memory_bytes)},
          {"memory_utilization", known(d.memory_utilization)},
          {"block_io_inflight", known(d.inflight)},
          {"window_15s", window(d.w15s)},
          {"window_1m", window(d.w1m)},
          {"window_5m", window(d.w5m)}};
}

}  // namespace

std::string nodes_json(const Views& views, const std::vector<Pushed::Node>& pushed,
                       std::int64_t now_ms) {
  // A node's tree takes many times its text: never that of all nodes at once.
  std::string out = R"({"nodes":[)";
  for (const auto& view : views) {
    if (out.back() != '[') out += ',';
    out += text_of(node_json(*view, now_ms));
  }
  Json pushers = Json::array();
  for (const Pushed::Node& node : pushed) {
    Json entry{{"node", node.name},
               {"last_sample", seconds(node.received_ms)},
               {"age_seconds", static_cast<double>(now_ms - node.received_ms) / 1e3}};
    const auto fields = Pushed::fields();
    for (std::size_t i = 0; i < fields.size(); ++i) entry[std::string(fields[i])] = node.counts[i];
    pushers.push_back(std::move(entry));
  }
  return out.append(R"(],"pushed_nodes":)").append(text_of(pushers)).append("}");
}

std::string sd_json(const Views& views) {
  Json groups = Json::array();
  for (const auto& view : views) {
    const Target& target = *view->target;
    groups.push_back(
        {{"targets", Json::array({target.address})}, {"labels", target_labels(target)}});
  }
  return text_of(groups);
}

void add_routes(http::Server& server, const Served& served) {
  const http::RouteOptions slow{.overloaded = turn_away, .slow = true};
  server.route(
      "GET", "/federate",
      [served](const http::Request& request, http::Response& response) {
        serve_federate(request, response, served);
      },
      slow);
  for (const char* method : {"GET", "POST"}) {
    server.route(
        method, "/query",
        [&query = served.query](const http::Request& request, http::Response& response) {
          query.serve(request, response);
        },
        slow);
  }
  server.route("POST", "/update_metrics",
               [&pushed = served.pushed](const http::Request& request, http::Response& response) {
                 serve_update(request, response, pushed);
               });
  server.route(
      "GET", "/nodes",
      [served](const http::Request&, http::Response& response) {
        response.content_type = "application/json";
        response.gzip = true;
        const std::int64_t now = unix_ms();
        response.body = nodes_json(served.store.views(), served.pushed.nodes(now), now);
      },
      slow);  // of thousands it is megabytes
  server.route("GET", "/sd",
               [&store = served.store](const http::Request&, http::Response& response) {
                 response.content_type = "application/json";
                 response.gzip = true;
                 response.body = sd_json(store.views());
               });
  http::add_standard_routes(
      server,
      {.program = "optipod-aggregator",
       .description =
           "The cluster's latest: every node's own series, and the scheduling view of each.",
       .render_metrics =
           [served, &server](std::string& out) {
             const std::int64_t now = unix_ms();
             served.self.pushed(served.pushed.nodes(now).size());
             served.self.loaded(server.stats());
             served.self.render(served.store.views(), out);
             served.pushed.render(now, out);
           },
       .readiness =
           [ready = served.ready] {
             return ready() ? http::Readiness{true, {}}
                            : http::Readiness{false, std::string(kNotReady)};
           },
       .links = {{"/nodes", "every node: its age, its errors, its key figures (JSON)"},
                 {"/federate?match[]=%7B__name__%3D~%22optipod:node_.*%22%7D",
                  "the scheduling view, as Prometheus federates it"},
                 {"/federate?match[]=%7B__name__%3D~%22optipod:pod_.*%22%7D", "what each pod uses"},
                 {"/sd", "every target, for Prometheus' http_sd"},
                 {"/query?q=up", "the past, as the Prometheus of --prometheus-url knows it"},
                 {"/federate?match[]=up", "which targets answered"}}});
  server.observe(
      [&self = served.self](std::string_view route, unsigned status,
                            std::chrono::nanoseconds time) { self.served(route, status, time); });
}

}  // namespace optipod::aggregator
