// SPDX-License-Identifier: Apache-2.0
//
// optipod-aggregator: scrapes every node's exporter and serves the cluster's latest.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "aggregator/check_metrics.hpp"
#include "aggregator/options.hpp"
#include "aggregator/scrape.hpp"
#include "aggregator/self.hpp"
#include "aggregator/store.hpp"
#include "aggregator/web.hpp"
#include "common/app/app.hpp"
#include "common/http/server.hpp"

namespace optipod::aggregator {
namespace {

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
  const auto look = [&] {
    const bool changed = discovery.refresh(std::chrono::steady_clock::now());
    log_problems(discovery.problems(), known_problems);
    self.discovered(discovery);
    return changed;
  };
  look();

  Scraper scraper(o.scrape, store, self);
  scraper.set_targets(discovery.targets());
  std::atomic<bool> settled = discovery.settled();
  // Once ready it stays so: a target that joins later must not take the others' answers away.
  std::atomic<bool> swept = false;
  const auto ready = [&swept, &settled, &scraper] {
    if (!swept && settled && scraper.swept()) swept = true;
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

  constexpr std::chrono::milliseconds kLook{1'000}, kFirstLook{50};
  while (!stop.wait_until(std::chrono::steady_clock::now() + (settled ? kLook : kFirstLook))) {
    if (look()) {
      scraper.set_targets(discovery.targets());
      spdlog::info("{} targets", discovery.targets().size());
    }
    settled = discovery.settled();
  }
  query.stop();
  if (server.stop() > 0) std::quick_exit(app::kOk);  // a handler that hangs still uses what is here
  return app::kOk;
}

int run(app::Stop& stop, Options& o) {
  const auto wrong = [](const std::string& what) {
    spdlog::critical("{}", what);
    return app::kUsage;
  };
  if (const std::string what = problem(o); !what.empty()) return wrong(what);
  auto fixed = fixed_targets(o);
  if (!fixed) return wrong(fixed.error());
  auto labels = external_labels(o);
  if (!labels) return wrong(labels.error());
  auto query = QueryProxy::make(o.prometheus_url);
  if (!query) return wrong(query.error());
  auto config = http::open_client_config(o.scrape_config);
  if (!config) return wrong("--scrape.config.file: " + config.error());
  o.scrape.client_config = std::move(*config);
  std::unique_ptr<kube::Client> kube;
  auto sources = make_sources(o, kube);
  if (!sources) return wrong(sources.error());
  if (fixed->empty() && sources->empty()) {
    spdlog::warn(
        "nothing to scrape: no --target, --file-sd, --http-sd, --dns-sd or --kube-sd is given");
  }

  Discovery discovery(std::move(*fixed), std::move(*sources), o.scheme);
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
