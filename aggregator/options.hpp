// SPDX-License-Identifier: Apache-2.0
// What the command line, the environment and --config set.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <tl/expected.hpp>

#include "aggregator/discovery.hpp"
#include "aggregator/scrape.hpp"
#include "common/kube/client.hpp"

namespace optipod::aggregator {

struct Options {
  std::string listen = ":5000", web_config, prometheus_url;

  std::vector<std::string> targets, files, urls, dns_names, services;
  std::chrono::milliseconds http_sd_interval{60'000}, dns_sd_interval{30'000};
  std::string http_sd_config, dns_servers, kubeconfig, kube_context;
  std::string scheme = "http";

  ScrapeOptions scrape;
  std::string scrape_config;

  std::vector<std::string> external_labels;
  std::chrono::milliseconds lookback{300'000};
};

void declare(CLI::App& cli, Options& options);

/// What no single option can know to be wrong; "" when nothing is.
std::string problem(const Options& options);

/// The --target flags.
tl::expected<std::vector<Target>, std::string> fixed_targets(const Options& options);
/// Sorted by name.
tl::expected<LabelPairs, std::string> external_labels(const Options& options);

/// What all the --*-sd flags name; they start to be asked. `kube` becomes what they need to ask
/// Kubernetes, and outlives them.
tl::expected<std::vector<std::unique_ptr<Source>>, std::string> make_sources(
    const Options& options, std::unique_ptr<kube::Client>& kube);

}  // namespace optipod::aggregator
