// SPDX-License-Identifier: Apache-2.0
#include "aggregator/web.hpp"

#include <chrono>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "aggregator/selector.hpp"
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

Json known(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json seconds(std::int64_t ms) {
  return ms == 0 ? Json(nullptr) : Json(static_cast<double>(ms) / 1e3);
}

Json window(const Derived::Window& w) {
  return {{"cpu_utilization", known(w.cpu_utilization)},
          {"cpu_runqueue_wait", known(w.runqueue_wait)},
          {"cpu_runqueue_wait_p95_seconds", known(w.runqueue_wait_p95)},
          {"memory_stall", known(w.memory_stall)},
          {"io_stall", known(w.io_stall)},
          {"block_io_latency_p95_seconds", known(w.block_io_latency_p95)}};
}

constexpr std::string_view kNotReady = "the first sweep over the targets is not over";

void reply(http::Response& response, unsigned status, std::string body) {
  response.status = status;
  response.body = std::move(body);
}

void serve_federate(const http::Request& request, http::Response& response, const Store& store,
                    Self& self, const FederateOptions& options, bool ready) {
  std::vector<Selector> selectors;
  for (const std::string& match : request.params("match[]")) {
    auto selector = Selector::parse(match);
    if (!selector) {
      self.bad_selector();
      reply(response, 400, selector.error() + "\n");
      return;
    }
    selectors.push_back(std::move(*selector));
  }
  if (!ready) {
    reply(response, 503, std::string(kNotReady) + "\n");
    return;
  }
  response.content_type = text::kContentType;
  response.gzip = true;
  self.federated(federate(store.views(), selectors, unix_ms(), options, response.body));
}

}  // namespace

std::string nodes_json(const Views& views, std::int64_t now_ms) {
  Json nodes = Json::array();
  for (const auto& view : views) {
    const Target& target = *view->target;
    const Derived& d = view->figures;
    const Json age = view->measured_ms == 0
                         ? Json(nullptr)
                         : Json(static_cast<double>(now_ms - view->measured_ms) / 1e3);
    nodes.push_back({{"node", target.node},
                     {"target", target.url()},
                     {"up", view->up},
                     {"agent_up", view->agent_up},
                     {"last_scrape", seconds(view->scraped_ms)},
                     {"last_sample", seconds(view->measured_ms)},
                     {"age_seconds", age},
                     {"last_error", view->error.empty() ? Json(nullptr) : Json(view->error)},
                     {"scrapes", view->scrapes},
                     {"failures", view->failures},
                     {"scrape_duration_seconds", view->duration_seconds},
                     {"samples", view->samples},
                     {"cpus", known(d.cpus)},
                     {"memory_bytes", known(d.memory_bytes)},
                     {"memory_utilization", known(d.memory_utilization)},
                     {"block_io_inflight", known(d.inflight)},
                     {"window_15s", window(d.w15s)},
                     {"window_1m", window(d.w1m)}});
  }
  // What a target said may not be UTF-8; a replacement character is better than no answer.
  return Json{{"nodes", std::move(nodes)}}.dump(1, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

void add_routes(http::Server& server, const Store& store, Self& self,
                const FederateOptions& options, const std::function<bool()>& ready) {
  server.route(
      "GET", "/federate",
      [&store, &self, &options, ready](const http::Request& request, http::Response& response) {
        serve_federate(request, response, store, self, options, ready());
      });
  server.route("GET", "/nodes", [&store](const http::Request&, http::Response& response) {
    response.content_type = "application/json";
    response.gzip = true;
    response.body = nodes_json(store.views(), unix_ms());
  });
  http::add_standard_routes(
      server,
      {.program = "optipod-aggregator",
       .description =
           "The cluster's latest: every node's own series, and the scheduling view of each.",
       .render_metrics = [&store, &self](std::string& out) { self.render(store.views(), out); },
       .readiness =
           [ready] {
             return ready() ? http::Readiness{true, {}}
                            : http::Readiness{false, std::string(kNotReady)};
           },
       .links = {{"/nodes", "every node: its age, its errors, its key figures (JSON)"},
                 {"/federate?match[]=%7B__name__%3D~%22optipod:node_.*%22%7D",
                  "the scheduling view, as Prometheus federates it"},
                 {"/federate?match[]=%7B__name__%3D~%22optipod:pod_.*%22%7D", "what each pod uses"},
                 {"/federate?match[]=up", "which targets answered"}}});
  server.observe([&self](std::string_view route, unsigned status, std::chrono::nanoseconds time) {
    self.served(route, status, time);
  });
}

}  // namespace optipod::aggregator
