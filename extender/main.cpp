// SPDX-License-Identifier: Apache-2.0
// optipod-extender: kube-scheduler's webhook.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "common/app/app.hpp"
#include "common/http/server.hpp"
#include "extender/cluster/source.hpp"
#include "extender/policies/registry.hpp"
#include "extender/service.hpp"

namespace {

using namespace optipod;
using namespace optipod::extender;

struct Options {
  std::string listen_address = ":8888";
  std::chrono::milliseconds refresh_interval{500}, fresh_for{5'000}, expire_after{30'000};
  SourceOptions source;
  ServiceOptions service;
  PolicyParameters policies;
  std::vector<std::string> policy{"contention=1"};
  unsigned threads = 2;
  std::size_t max_request_bytes = 4 * 1024 * 1024;
  std::size_t max_connections = 128;
};

void declare_metrics(CLI::App& cli, Options& o) {
  const char* group = "Measurements";
  cli.add_option("--metrics-url", o.source.url,
                 "An aggregator or any Prometheus that has the optipod:node_* series")
      ->capture_default_str()
      ->group(group);
  cli.add_option("--metrics-match", o.source.match,
                 "Selector asked of /federate; add labels when one Prometheus serves many clusters")
      ->capture_default_str()
      ->group(group);
  app::add_duration(cli, "--refresh-interval", o.refresh_interval,
                    "How often the measurements are fetched")
      ->group(group);
  app::add_duration(cli, "--refresh-timeout", o.source.timeout, "When a fetch is given up")
      ->group(group);
  app::add_duration(cli, "--fresh-for", o.fresh_for, "Age up to which a measurement counts in full")
      ->group(group);
  app::add_duration(cli, "--expire-after", o.expire_after,
                    "Age at which it counts for nothing; linear in between")
      ->group(group);
  const std::map<std::string, OnMissing> choices{{"neutral", OnMissing::kNeutral},
                                                 {"avoid", OnMissing::kAvoid},
                                                 {"reject", OnMissing::kReject}};
  cli.add_option("--on-missing", o.service.decide.on_missing,
                 "A node without fresh measurements scores as the candidates' mean (neutral, the "
                 "default), as the worst of them (avoid), or is rejected by /filter (reject)")
      ->transform(CLI::CheckedTransformer(choices, CLI::ignore_case))
      ->group(group);
}

void declare_decisions(CLI::App& cli, Options& o) {
  const char* group = "Decisions";
  DecideOptions& d = o.service.decide;
  cli.add_option(
         "--policy", o.policy,
         "NAME=WEIGHT, repeatable or with commas: the policies behind /filter and /prioritize "
         "(default contention=1). Each is also served alone at /policies/NAME/")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(group);
  cli.add_option("--contention-reject-above", o.policies.contention.reject_above,
                 "/filter rejects a node that would cost the pod more than this share of its time; "
                 "1: never")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--max-reject-share", d.max_reject_share,
                 "/filter never rejects more than this share of a request's nodes")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--dead-band", d.dead_band, "Best and worst nearer than this (of 0..1) are equal")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--full-spread", d.full_spread,
                 "Best and worst this far apart get the full 10 and 0; nearer ones less")
      ->check(CLI::Range(0.001, 1.0))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--explain-decisions", o.service.explain_decisions,
                 "Decisions kept for /explain; 0: none")
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--explain-candidates", o.service.explain_candidates,
                 "Best candidates kept of each")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str()
      ->group(group);
}

void declare(CLI::App& cli, Options& o) {
  const char* group = "Serving";
  cli.add_option("--web.listen-address", o.listen_address, "Address the webhook listens on")
      ->capture_default_str()
      ->group(group);
  cli.add_option("--threads", o.threads, "Threads that serve requests")
      ->check(CLI::Range(1, 64))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--max-request-bytes", o.max_request_bytes, "A larger request is answered 413")
      ->check(CLI::Range(64 * 1024, 256 * 1024 * 1024))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--max-connections", o.max_connections, "One more is answered 503")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str()
      ->group(group);
  declare_metrics(cli, o);
  declare_decisions(cli, o);
}

/// NAME=WEIGHT of --policy as policies; the error says what is wrong with which.
tl::expected<std::vector<WeightedPolicy>, std::string> combine(
    const std::vector<std::string>& chosen,
    const std::vector<std::unique_ptr<const Policy>>& policies) {
  std::vector<WeightedPolicy> combination;
  for (const std::string& choice : chosen) {
    const std::size_t equals = choice.find('=');
    const std::string name = choice.substr(0, equals);
    WeightedPolicy weighted;
    if (equals != std::string::npos) {
      const char* end = choice.data() + choice.size();
      const auto [last, error] = std::from_chars(choice.data() + equals + 1, end, weighted.weight);
      if (error != std::errc() || last != end || !(weighted.weight > 0) || weighted.weight > 1e6) {
        return tl::unexpected(fmt::format(
            "--policy {}: the weight must be a number over 0, as in {}=2", choice, name));
      }
    }
    const auto found = std::ranges::find(policies, name, [](const auto& p) { return p->name(); });
    if (found == policies.end()) {
      std::string names;
      for (const auto& policy : policies) names.append(" ").append(policy->name());
      return tl::unexpected(
          fmt::format("--policy {}: there is no policy '{}'; there are:{}", choice, name, names));
    }
    weighted.policy = found->get();
    if (std::ranges::find(combination, weighted.policy, &WeightedPolicy::policy) !=
        combination.end()) {
      return tl::unexpected(fmt::format("--policy {}: '{}' is named twice", choice, name));
    }
    combination.push_back(weighted);
  }
  return combination;
}

int serve(app::Stop& stop, Options& o) {
  if (o.expire_after <= o.fresh_for) {
    spdlog::error("--expire-after must be longer than --fresh-for");
    return app::kUsage;
  }
  if (o.refresh_interval.count() <= 0 || o.source.timeout.count() <= 0) {
    spdlog::error("--refresh-interval and --refresh-timeout must be over 0");
    return app::kUsage;
  }
  o.service.decide.fresh_for_ms = o.fresh_for.count();
  o.service.decide.expire_after_ms = o.source.keep_ms = o.expire_after.count();
  auto policies = make_policies(o.policies);
  auto combination = combine(o.policy, policies);
  if (!combination) {
    spdlog::error("{}", combination.error());
    return app::kUsage;
  }

  CurrentSnapshot current;
  Metrics metrics;
  Service service(o.service, std::move(policies), std::move(*combination), current, metrics);
  MetricsSource source(o.source, current, metrics);
  http::ServerLimits limits;
  limits.max_body_bytes = o.max_request_bytes;
  limits.max_connections = o.max_connections;
  http::Server server(limits, o.threads);
  service.add_routes(server);
  if (const auto listening = server.listen(o.listen_address); !listening) {
    spdlog::error("{}", listening.error());
    return app::kFailure;
  }
  std::string policy;
  for (const std::string& one : o.policy) policy.append(" ").append(one);
  spdlog::info("serving kube-scheduler on port {} with{}", server.port(), policy);
  auto next = std::chrono::steady_clock::now();
  do {
    source.refresh();
    next = std::max(next + o.refresh_interval, std::chrono::steady_clock::now());
  } while (!stop.wait_until(next));
  server.stop();
  return app::kOk;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const app::Info info{"optipod-extender",
                       "Answers kube-scheduler's extender webhook (/filter, /prioritize) from the "
                       "contention that was "
                       "measured on the nodes, and says why (/explain)."};
  return app::run(
      argc, argv, info, [&](CLI::App& cli) { declare(cli, options); },
      [&](app::Stop& stop) { return serve(stop, options); });
}
