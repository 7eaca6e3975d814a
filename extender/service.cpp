// SPDX-License-Identifier: Apache-2.0
#include "extender/service.hpp"

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
  if (route.ends_with("/filter")) return "filter";
  if (route.ends_with("/prioritize")) return "prioritize";
  return "other";
}

/// What a thread needs for a decision, kept between requests.
struct Workplace {
  wire::Decoder decoder;
  Decision decision;
};

Workplace& workplace() {
  thread_local Workplace place;
  return place;
}

}  // namespace

Service::Service(ServiceOptions options, std::vector<std::unique_ptr<const Policy>> policies,
                 std::vector<WeightedPolicy> combination, const CurrentSnapshot& current,
                 Metrics& metrics)
    : options_(options),
      policies_(std::move(policies)),
      combination_(std::move(combination)),
      current_(current),
      metrics_(metrics),
      records_(options.explain_decisions) {
  alone_.reserve(policies_.size());
  for (const auto& policy : policies_) alone_.push_back({{policy.get(), 1}});
}

void Service::add_routes(http::Server& server) {
  add_verbs(server, "", combination_);
  for (const auto& alone : alone_) {
    add_verbs(server, "/policies/" + std::string(alone[0].policy->name()), alone);
  }
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
    response.body =
        explain_json(records_.find(request.param("pod"), std::min(limit, kMaxExplained)));
  });
  http::StandardRoutes pages;
  pages.program = "optipod-extender";
  pages.description = "Answers kube-scheduler's extender webhook from measured contention.";
  pages.render_metrics = [this](std::string& out) {
    metrics_.render(out, *current_.get(), unix_ms(), options_.decide);
  };
  pages.readiness = [this] { return http::Readiness{true, details()}; };
  pages.links = {{"/explain?limit=10", "the last decisions, and why"}};
  http::add_standard_routes(server, std::move(pages));
  server.observe([this](std::string_view route, unsigned status, std::chrono::nanoseconds took) {
    const std::string_view verb = verb_of(route);
    metrics_.answered(verb, status, took);
    if (status != 413) return;
    metrics_.decode_failed(wire::to_string(wire::DecodeCause::kTooLarge));
    complain(verb.empty() ? "request" : verb,
             "larger than --max-request-bytes; is nodeCacheCapable: true missing?");
  });
}

void Service::add_verbs(http::Server& server, const std::string& prefix,
                        const std::vector<WeightedPolicy>& combination) {
  for (const auto& [path, verb] :
       {std::pair{"/filter", Verb::kFilter}, std::pair{"/prioritize", Verb::kPrioritize}}) {
    server.route(
        "POST", prefix + path,
        [this, verb = verb, &combination](const http::Request& request, http::Response& response) {
          answer(verb, combination, request, response);
        });
  }
}

void Service::answer(Verb verb, std::span<const WeightedPolicy> combination,
                     const http::Request& request, http::Response& response) {
  const std::string_view name = verb == Verb::kFilter ? "filter" : "prioritize";
  auto& [decoder, decision] = workplace();
  const auto decoded = decoder.decode(request.body);
  if (!decoded) {
    response.status =
        400;  // with an empty body: kube-scheduler reads none, and keeps its connection
    metrics_.decode_failed(wire::to_string(decoded.error().cause));
    complain(name, decoded.error().what);
    return;
  }
  response.content_type = "application/json";
  const wire::Args& args = **decoded;
  if (!args.has_node_names) {
    refuse_nodes(verb, response);
    return;
  }
  const bool filter = verb == Verb::kFilter;
  if (filter && !can_reject(combination, options_.decide)) {
    wire::append_filter(response.body, args.node_names, {});
    metrics_.passed(args.node_names.size());
    return;
  }
  const std::shared_ptr<const Snapshot> snapshot = current_.get();
  const std::int64_t now_ms = unix_ms();
  decide(*snapshot, args, now_ms, combination, options_.decide, filter, decision);
  if (filter) {
    wire::append_filter(response.body, args.node_names, decision.reason);
  } else {
    const std::size_t listed = wire::append_priorities(
        response.body, *snapshot->nodes, decision.row, args.node_names, decision.score);
    metrics_.hosts_listed(listed, args.node_names.size());
  }
  metrics_.decided(name, decision);
  records_.add(make_record(name, *snapshot, args, decision, now_ms, options_.explain_candidates));
}

void Service::refuse_nodes(Verb verb, http::Response& response) {
  metrics_.decode_failed("nodes_not_names");
  if (verb == Verb::kFilter) {
    wire::append_filter_error(response.body, wire::kNeedsNodeNames);
    complain("filter", std::string(wire::kNeedsNodeNames));
  } else {
    response.body = "[]";  // a prioritize reply has no room for an error
    complain("prioritize", std::string(wire::kNeedsNodeNames));
  }
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
  spdlog::warn("bad {} request: {} ({} more since the last such line)", verb, what,
               unsaid_.exchange(0, std::memory_order_relaxed));
}

std::string Service::details() const {
  const std::shared_ptr<const Snapshot> snapshot = current_.get();
  const std::int64_t now = unix_ms();
  std::size_t fresh = 0;
  for (const std::int64_t oldest : snapshot->oldest_ms) {
    fresh += oldest != 0 && confidence_at(now - oldest, options_.decide) == 1 ? 1 : 0;
  }
  nlohmann::ordered_json out{
      {"ready", true}, {"nodes_known", snapshot->size()}, {"nodes_fresh", fresh}};
  out["metrics_age_seconds"] =
      snapshot->received_ms == 0
          ? nlohmann::ordered_json(nullptr)
          : nlohmann::ordered_json(static_cast<double>(now - snapshot->received_ms) / 1e3);
  out["note"] = fresh > 0 ? "decisions rest on fresh measurements"
                          : "no fresh measurements: every node is scored alike";
  return out.dump();
}

}  // namespace optipod::extender
