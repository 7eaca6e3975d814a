// SPDX-License-Identifier: Apache-2.0
//
// optipod-aggregator: scrapes every node's exporter and serves the cluster's latest.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "aggregator/check_metrics.hpp"
#include "aggregator/discovery.hpp"
#include "aggregator/scrape.hpp"
#include "aggregator/self.hpp"
#include "aggregator/store.hpp"
#include "aggregator/web.hpp"
#include "common/app/app.hpp"
#include "common/app/web_options.hpp"
#include "common/http/server.hpp"

namespace optipod::aggregator {
namespace {

struct Options {
  std::string listen = ":5000", web_config, prometheus_url;
  std::vector<std::string> targets, files, external_labels;
  std::chrono::milliseconds lookback{300'000};
  ScrapeOptions scrape;
};

void declare(CLI::App& cli, Options& o) {
  app::add_web_options(cli, o.listen, o.web_config);
  cli.add_option(
         "--target", o.targets,
         "Exporter to scrape; NAME is the node's name in every answer (default: HOST:PORT), "
         "the path is /metrics when none is given. Repeatable, or several with commas")
      ->type_name("[NAME=]HOST:PORT[/PATH]")
      ->delimiter(',')
      ->allow_extra_args(false);
  cli.add_option("--file-sd", o.files,
                 "Prometheus file_sd file, .json or .yml, re-read when it changes; label `node` is "
                 "the node's name. Repeatable, or several with commas")
      ->type_name("FILE")
      ->delimiter(',')
      ->allow_extra_args(false);
  app::add_duration(cli, "--scrape-interval", o.scrape.interval,
                    "Each target is scraped this often");
  app::add_duration(cli, "--scrape-timeout", o.scrape.timeout,
                    "A scrape that takes longer has failed; below the interval");
  cli.add_option("--max-body", o.scrape.max_body_bytes,
                 "Bytes of an answer, uncompressed; a longer one has failed")
      ->type_name("BYTES")
      ->check(CLI::Range(std::size_t{1024}, std::size_t{1024} * 1024 * 1024))
      ->capture_default_str();
  cli.add_option("--sample-limit", o.scrape.limits.max_samples,
                 "Samples of an answer; one with more has failed")
      ->type_name("COUNT")
      ->check(CLI::Range(std::size_t{1}, std::size_t{10'000'000}))
      ->capture_default_str();
  cli.add_option("--scrape-threads", o.scrape.threads, "Threads that receive, parse and derive")
      ->type_name("COUNT")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app::add_duration(cli, "--lookback", o.lookback, "Samples older than this are not served");
  cli.add_option("--prometheus-url", o.prometheus_url,
                 "Prometheus that answers /query, which is about the past")
      ->type_name("http[s]://HOST[:PORT][/PREFIX]");
  cli.add_option("--external-label", o.external_labels,
                 "Label added to every series of /federate that lacks it. Repeatable")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
}

tl::expected<std::vector<Target>, std::string> fixed_targets(const Options& o) {
  std::vector<Target> targets;
  std::set<std::string> nodes;
  for (const std::string& text : o.targets) {
    auto target = parse_target(text);
    if (!target) return tl::unexpected(target.error());
    if (!nodes.insert(target->node).second) {
      return tl::unexpected(fmt::format(
          "--target {}: node {} is given twice; each needs its own name", text, target->node));
    }
    targets.push_back(std::move(*target));
  }
  return targets;
}

tl::expected<LabelPairs, std::string> external_labels(const Options& o) {
  LabelPairs labels;
  for (const std::string& text : o.external_labels) {
    const auto equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const bool good = equals != std::string::npos && !name.empty() &&
                      name.find_first_not_of(
                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
                          "0123456789") == std::string::npos &&
                      (name[0] < '0' || name[0] > '9') && !name.starts_with("__");
    if (!good) {
      return tl::unexpected(
          fmt::format("--external-label {}: write NAME=VALUE, for example cluster=berlin", text));
    }
    labels.emplace_back(name, text.substr(equals + 1));
  }
  std::sort(labels.begin(), labels.end());
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  if (const auto twice = std::adjacent_find(labels.begin(), labels.end(), same);
      twice != labels.end()) {
    return tl::unexpected(fmt::format("--external-label {} is given twice", twice->first));
  }
  return labels;
}

/// Logs a problem when it appears, not as long as it lasts.
void log_problems(const std::vector<std::string>& problems, std::set<std::string>& known) {
  for (const std::string& problem : problems) {
    if (!known.contains(problem)) spdlog::warn("{}", problem);
  }
  known = {problems.begin(), problems.end()};
}

int serve(app::Stop& stop, const Options& o, Discovery& discovery,
          const FederateOptions& federation, QueryProxy& query) {
  Store store;
  Self self;
  Pushed pushed;
  std::set<std::string> known_problems;
  discovery.refresh(std::chrono::steady_clock::now());
  log_problems(discovery.problems(), known_problems);
  self.discovered(discovery);

  Scraper scraper(o.scrape, store, self);
  scraper.set_targets(discovery.targets());
  // Once ready it stays so: a target that joins later must not take the others' answers away.
  std::atomic<bool> swept = false;
  const auto ready = [&swept, &scraper] {
    if (!swept && scraper.swept()) swept = true;
    return swept.load();
  };

  http::Server server({.max_head_bytes = 64 * 1024}, 2);  // many match[] make a long line
  add_routes(server, {store, self, pushed, query, federation, ready});
  if (const auto listening = server.listen(o.listen, o.web_config); !listening) {
    spdlog::critical("{}", listening.error());
    return app::kFailure;
  }
  spdlog::info("serving on port {}; {} targets every {} ms", server.port(),
               discovery.targets().size(), o.scrape.interval.count());

  constexpr std::chrono::seconds kLook{1};
  while (!stop.wait_until(std::chrono::steady_clock::now() + kLook)) {
    if (discovery.refresh(std::chrono::steady_clock::now())) {
      scraper.set_targets(discovery.targets());
      spdlog::info("{} targets", discovery.targets().size());
    }
    log_problems(discovery.problems(), known_problems);
    self.discovered(discovery);
  }
  query.stop();
  if (server.stop() > 0) std::quick_exit(app::kOk);  // a handler that hangs still uses what is here
  return app::kOk;
}

int run(app::Stop& stop, const Options& o) {
  auto fixed = fixed_targets(o);
  auto labels = external_labels(o);
  auto query = QueryProxy::make(o.prometheus_url);
  for (const std::string& wrong :
       {fixed ? std::string() : fixed.error(), labels ? std::string() : labels.error(),
        query ? std::string() : query.error(),
        o.scrape.timeout < o.scrape.interval && o.scrape.timeout.count() > 0
            ? std::string()
            : std::string("--scrape-timeout must be above 0 and below "
                          "--scrape-interval")}) {
    if (wrong.empty()) continue;
    spdlog::critical("{}", wrong);
    return app::kUsage;
  }
  Discovery discovery(std::move(*fixed), o.files);
  const FederateOptions federation{.lookback_ms = o.lookback.count(),
                                   .external_labels = std::move(*labels)};
  return serve(stop, o, discovery, federation, **query);
}

}  // namespace
}  // namespace optipod::aggregator

int main(int argc, char** argv) {
  using namespace optipod;
  aggregator::Options options;
  aggregator::CheckMetrics check;
  return app::run(
      argc, argv,
      {.name = "optipod-aggregator",
       .description = "Scrapes every node's optipod-exporter, derives the scheduling view of each "
                      "node, and serves the cluster's latest: /federate for the extender and for "
                      "Prometheus, /nodes for people, /metrics about itself."},
      [&](CLI::App& cli) {
        aggregator::declare(cli, options);
        check.declare(cli);
      },
      [&](app::Stop& stop) {
        return check.wanted() ? check.run() : aggregator::run(stop, options);
      });
}
