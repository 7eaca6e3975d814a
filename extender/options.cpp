// SPDX-License-Identifier: Apache-2.0
#include "extender/options.hpp"

#include "common/app/app.hpp"
#include "common/app/kube_options.hpp"
#include "common/app/web_options.hpp"
#include "extender/wire/resources.hpp"

namespace optipod::extender {
namespace {

void declare_serving(CLI::App& cli, Options& o) {
  const char* group = "Serving";
  app::add_web_options(cli, o.listen_address, o.web_config, group);
  cli.add_option("--threads", o.threads, "Threads that judge")
      ->check(CLI::Range(1, 64))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--max-request-bytes", o.max_request_bytes,
                 "A larger request is answered 413; more than four times as much at once, 503")
      ->check(CLI::Range(64 * 1024, 1024 * 1024 * 1024))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--max-connections", o.max_connections, "One more is answered 503")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--max-queued", o.max_queued,
                 "Requests that may wait for a thread; one more gets the neutral answer at once")
      ->check(CLI::Range(0, 65'536))
      ->capture_default_str()
      ->group(group);
  app::add_duration(cli, "--deadline", o.deadline,
                    "A request that has waited longer gets the neutral answer; keep it below the "
                    "scheduler's httpTimeout")
      ->group(group);
}

void declare_measurements(CLI::App& cli, Options& o) {
  const char* group = "Measurements";
  cli.add_option("--metrics-url", o.source.url,
                 "An aggregator or any Prometheus that has the optipod:node_* series")
      ->capture_default_str()
      ->group(group);
  cli.add_option("--metrics.config.file", o.metrics_config,
                 "Whom to trust and who we are there: YAML with tls_config, basic_auth or "
                 "authorization, as Prometheus has them; re-read when it changes")
      ->type_name("FILE")
      ->group(group);
  cli.add_option("--metrics-match", o.source.match,
                 "Selector asked of /federate instead of all the series that policies use; for "
                 "labels, when one Prometheus serves many clusters: "
                 "{__name__=~\"optipod:node_.*\",cluster=\"a\"}")
      ->group(group);
  app::add_duration(cli, "--refresh-interval", o.source.interval,
                    "How often the measurements are fetched")
      ->group(group);
  app::add_duration(cli, "--refresh-timeout", o.source.timeout, "When a fetch is given up")
      ->group(group);
  app::add_duration(cli, "--profile-interval", o.profile_interval,
                    "How often is fetched what pods really use (needs the API server); 0s: never")
      ->group(group);
  app::add_duration(cli, "--fresh-for", o.fresh_for, "Age up to which a measurement counts in full")
      ->group(group);
  app::add_duration(cli, "--expire-after", o.expire_after,
                    "Age at which it counts for nothing; linear in between")
      ->group(group);
  app::add_choice(cli, "--on-missing", o.answers.decide.on_missing,
                  {{"neutral", OnMissing::kNeutral},
                   {"avoid", OnMissing::kAvoid},
                   {"reject", OnMissing::kReject}},
                  "A node without fresh measurements scores as the candidates' mean (neutral), as "
                  "the worst of them (avoid), or is rejected by /filter (reject)")
      ->group(group);
}

void declare_policies(CLI::App& cli, Options& o) {
  const char* group = "Policies";
  cli.add_option(
         "--policy", o.policy,
         "NAME=WEIGHT, repeatable or with commas: the policies behind /filter and /prioritize "
         "(default contention=1); wins over the file. Each is also served alone at /policies/NAME/")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(group);
  cli.add_option("--policies", o.policies_file,
                 "YAML file of the policies' parameters (docs/policies.md); read again when it "
                 "changes")
      ->type_name("FILE")
      ->group(group);
  cli.add_option("--extended-resource", o.extended_resources,
                 "Extended resources that policies may look at, up to four")
      ->expected(1, wire::kMostResources - wire::kFirstExtended)
      ->delimiter(',')
      ->capture_default_str()
      ->group(group);
}

void declare_decisions(CLI::App& cli, Options& o) {
  const char* group = "Decisions";
  DecideOptions& d = o.answers.decide;
  app::add_choice(cli, "--booking", o.answers.booking, {{"on", true}, {"off", false}},
                  "Count pods as there where they are about to go, until measurements contain them")
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
  cli.add_option("--most-hosts", d.most_hosts,
                 "Hosts listed in a reply to /prioritize, the best; the others count as the worst. "
                 "kube-scheduler's time for a reply grows with it")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--shortlist", d.shortlist,
                 "/filter leaves the best so many of more candidates, which is less for "
                 "kube-scheduler to score; all to a pod that says which nodes it prefers, and "
                 "without the API server; 0: always all")
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--explain-decisions", o.explain_decisions, "Decisions kept for /explain; 0: none")
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str()
      ->group(group);
  cli.add_option("--explain-candidates", o.answers.explain_candidates,
                 "Best candidates kept of each")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str()
      ->group(group);
}

void declare_kubernetes(CLI::App& cli, Options& o) {
  const char* group = "Kubernetes";
  app::add_choice(
      cli, "--kubernetes", o.kubernetes,
      {{"auto", UseKubernetes::kAuto}, {"on", UseKubernetes::kOn}, {"off", UseKubernetes::kOff}},
      "Follow pods and nodes at the API server; auto: if a kubeconfig is named or this "
      "runs in a cluster. Without it decisions rest on measurements alone")
      ->group(group);
  app::add_kube_options(cli, o.kubeconfig, o.kube_context, group);
  app::add_duration(cli, "--bind-timeout", o.bind_timeout,
                    "When a binding is given up, and how long it waits for its turn before")
      ->group(group);
  cli.add_option("--bind-threads", o.bind_threads, "Bindings at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str()
      ->group(group);
}

}  // namespace

void declare(CLI::App& cli, Options& options) {
  declare_serving(cli, options);
  declare_measurements(cli, options);
  declare_policies(cli, options);
  declare_decisions(cli, options);
  declare_kubernetes(cli, options);
}

std::string problem(const Options& o) {
  if (o.expire_after <= o.fresh_for) return "--expire-after must be longer than --fresh-for";
  if (o.source.interval.count() <= 0 || o.source.timeout.count() <= 0) {
    return "--refresh-interval and --refresh-timeout must be over 0";
  }
  if (o.deadline.count() <= 0) return "--deadline must be over 0";
  if (o.kubernetes == UseKubernetes::kOff && !(o.kubeconfig.empty() && o.kube_context.empty())) {
    return "--kubeconfig or --kube-context is given, but --kubernetes off: leave one out";
  }
  return {};
}

}  // namespace optipod::extender
