// SPDX-License-Identifier: Apache-2.0
#include "extender/serve/service.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "common/http/standard_routes.hpp"
#include "extender/clock.hpp"
#include "extender/wire/reply.hpp"

namespace optipod::extender {
namespace {

constexpr std::int64_t kComplaintIntervalMs = 10'000;
constexpr std::size_t kMaxExplained = 100;

std::string_view verb_of(std::string_view route) {
  for (const std::string_view verb : kVerbNames) {
    if (route.ends_with(verb) && route[route.size() - verb.size() - 1] == '/') return verb;
  }
  return "other";
}

std::string combination_text(const PolicySet& set) {
  std::string out;
  for (const WeightedPolicy& one : set.combination) {
    out += fmt::format("{}{}={}", out.empty() ? "" : ",", set[one.policy].name(), one.weight);
  }
  return out;
}

}  // namespace

void Service::add_routes(http::Server& server) {
  add_verbs(server, "", std::nullopt);
  const auto policies = parts_.current.get()->policies;
  for (std::size_t p = 0; p < policies->size(); ++p) {
    add_verbs(server, "/policies/" + std::string((*policies)[p].name()), p);
  }
  const auto bind_handler = [this](bool in_time) {
    return [this, in_time](const http::Request& request, http::Response& response) {
      bind(in_time, request, response);
    };
  };
  server.route("POST", "/bind", bind_handler(true),
               {.overloaded = bind_handler(false), .slow = true});
  add_explain(server);
  add_pages(server);
}

void Service::add_verbs(http::Server& server, const std::string& prefix,
                        std::optional<std::size_t> policy) {
  for (const Verb verb : {Verb::kFilter, Verb::kPrioritize, Verb::kPreempt}) {
    const auto handler = [this, verb, policy](bool in_time) {
      return [this, verb, policy, in_time](const http::Request& request, http::Response& response) {
        answer(verb, policy, in_time, request, response);
      };
    };
    server.route("POST", prefix + "/" + std::string(to_string(verb)), handler(true),
                 {.overloaded = handler(false)});
  }
}

void Service::add_explain(http::Server& server) {
  server.route("GET", "/explain", [this](const http::Request& request, http::Response& response) {
    std::size_t limit = 10;
    if (const std::string text = request.param("limit"); !text.empty()) {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
      if (error != std::errc() || end != text.data() + text.size()) {
        response.status = 400;
        response.body = "limit must be a number\n";
        return;
      }
    }
    response.content_type = "application/json";
    response.gzip = true;
    // A piece at a time: decisions have their turn in between.
    Explanation explanation(
        parts_.records.find(request.param("pod"), std::min(limit, kMaxExplained)));
    if (!explanation.next(response.body)) return;
    response.more = [explanation = std::move(explanation)](std::string& piece) mutable {
      return explanation.next(piece);
    };
  });
}

void Service::add_pages(http::Server& server) {
  http::StandardRoutes pages;
  pages.program = "optipod-extender";
  pages.description = "Answers kube-scheduler's extender webhook from measured contention.";
  pages.render_metrics = [this, &server](std::string& out) { render_metrics(server, out); };
  pages.readiness = [this] { return http::Readiness{true, details(), "application/json"}; };
  pages.links = {{"/explain?limit=10", "the last decisions, and why"}};
  http::add_standard_routes(server, std::move(pages));
  server.observe([this](std::string_view route, unsigned status, std::chrono::nanoseconds took) {
    const std::string_view verb = verb_of(route);
    parts_.metrics.answered(verb, status, took);
    if (status != 413) return;
    parts_.metrics.decode_failed(wire::to_string(wire::DecodeCause::kTooLarge));
    complain(verb, "larger than --max-request-bytes; is nodeCacheCapable: true missing?");
  });
}

void Service::answer(Verb verb, std::optional<std::size_t> policy, bool in_time,
                     const http::Request& request, http::Response& response) {
  const auto refusal = in_time ? parts_.answers.answer(verb, policy, request.body, response.body)
                               : parts_.answers.neutral(verb, request.body, response.body);
  if (!refusal) {
    response.content_type = "application/json";
    if (in_time) {
      response.afterwards = [this] { parts_.answers.finish(); };
    }
    return;
  }
  // With an empty body: kube-scheduler reads none, and so keeps its connection.
  response.status = refusal->status;
  complain(to_string(verb), refusal->what);
}

void Service::bind(bool in_time, const http::Request& request, http::Response& response) {
  wire::Decoder decoder;
  const auto args = decoder.decode(request.body);
  if (!args || (*args)->node.empty() || (*args)->pod_name.empty()) {
    const std::string what = args ? "PodName and Node are needed" : args.error().what;
    parts_.metrics.decode_failed(
        wire::to_string(args ? wire::DecodeCause::kNotArgs : args.error().cause));
    response.status = 400;
    complain("bind", what);
    return;
  }
  std::string error;
  if (parts_.binder == nullptr) {
    error =
        "optipod-extender follows no API server (--kubeconfig), so it cannot bind; remove "
        "bindVerb from KubeSchedulerConfiguration, or give it one";
  } else if (!in_time) {
    error = "optipod-extender: too many bindings are under way";
  } else {
    error = parts_.binder->bind(**args);
  }
  if (!error.empty()) complain("bind", error);
  response.content_type = "application/json";
  wire::append_binding(response.body, error);
}

/// One line in ten seconds, however many requests are bad.
void Service::complain(std::string_view verb, const std::string& what) {
  const std::int64_t now = unix_ms();
  std::int64_t due = next_complaint_ms_.load(std::memory_order_relaxed);
  if (now < due || !next_complaint_ms_.compare_exchange_strong(due, now + kComplaintIntervalMs,
                                                               std::memory_order_relaxed)) {
    unsaid_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  spdlog::warn("{} request: {} ({} more since the last such line)", verb, what,
               unsaid_.exchange(0, std::memory_order_relaxed));
}

std::string Service::details() const {
  using Json = nlohmann::ordered_json;
  const std::shared_ptr<const World> world = parts_.current.get();
  const Measurements& measured = *world->snapshot->measured;
  const std::int64_t now = unix_ms();
  const DecideOptions& decide = parts_.answers.decide_options();
  std::size_t fresh = 0;
  for (const std::int64_t oldest : measured.oldest_ms) {
    fresh += oldest != 0 && confidence_at(now - oldest, decide) == 1 ? 1 : 0;
  }
  Json out{{"ready", true}, {"nodes_known", measured.size()}, {"nodes_fresh", fresh}};
  out["metrics_age_seconds"] = measured.received_ms == 0
                                   ? Json(nullptr)
                                   : Json(static_cast<double>(now - measured.received_ms) / 1e3);
  const KubernetesHealth kubernetes = parts_.kubernetes();
  out["kubernetes"] = {{"state", kubernetes.state},
                       {"nodes", kubernetes.nodes},
                       {"pods", kubernetes.pods},
                       {"last_error", kubernetes.error}};
  out["policies"] = {{"combination", combination_text(*world->policies)},
                     {"file_error", parts_.parameters_error()}};
  out["note"] = fresh > 0 ? "decisions rest on fresh measurements"
                          : "no fresh measurements: policies that need them score every node alike";
  if (kubernetes.state != "synced") {
    out["kubernetes"]["note"] =
        "pods and nodes are not followed: decisions rest on measurements alone, bookings on what "
        "was decided here";
  }
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Service::render_metrics(const http::Server& server, std::string& out) const {
  const KubernetesHealth kubernetes = parts_.kubernetes();
  Metrics::Now now;
  now.unix_ms = unix_ms();
  now.booked_pods = parts_.ledger.pods();
  now.bookings_refused = parts_.ledger.refused();
  now.workloads = parts_.workloads.size();
  now.kubernetes = kubernetes.state != "off";
  now.kubernetes_nodes = kubernetes.nodes;
  now.kubernetes_pods = kubernetes.pods;
  now.synced = kubernetes.synced;
  now.events = kubernetes.events;
  now.failures = kubernetes.failures;
  const http::ServerStats stats = server.stats();
  now.queued = stats.queued + stats.slow_queued;
  for (const http::ServerStats::TurnedAway& route : stats.turned_away) {
    now.overload_queue_full += route.queue_full;
    now.overload_deadline += route.deadline;
  }
  parts_.metrics.render(out, *parts_.current.get()->snapshot, parts_.answers.decide_options(), now);
}

}  // namespace optipod::extender
