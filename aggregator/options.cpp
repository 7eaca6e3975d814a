// SPDX-License-Identifier: Apache-2.0
#include "aggregator/options.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "aggregator/discovery/dns_source.hpp"
#include "aggregator/discovery/file_source.hpp"
#include "aggregator/discovery/http_source.hpp"
#include "aggregator/discovery/kube_source.hpp"
#include "common/app/app.hpp"
#include "common/app/kube_options.hpp"
#include "common/app/web_options.hpp"
#include "common/text/utf8.hpp"

namespace optipod::aggregator {
namespace {

/// Repeatable, or several with commas.
void add_list(CLI::App& cli, const std::string& flag, std::vector<std::string>& values,
              const std::string& type, const std::string& help) {
  cli.add_option(flag, values, help + ". Repeatable, or several with commas")
      ->type_name(type)
      ->delimiter(',')
      ->allow_extra_args(false);
}

void add_count(CLI::App& cli, const std::string& flag, std::size_t& value, std::size_t least,
               const std::string& type, const std::string& help) {
  constexpr std::size_t kMost = 1024 * 1024 * 1024;
  cli.add_option(flag, value, help)
      ->type_name(type)
      ->check(CLI::Range(least, kMost))
      ->capture_default_str();
}

void declare_discovery(CLI::App& cli, Options& o) {
  add_list(cli, "--target", o.targets, "[NAME=][SCHEME://]HOST:PORT[/PATH]",
           "Exporter to scrape; NAME is the node's name in every answer (default: HOST:PORT), "
           "the path is /metrics when none is given");
  add_list(cli, "--file-sd", o.files, "FILE",
           "Prometheus file_sd file, .json or .yml, re-read when it changes; label `node` is the "
           "node's name");
  add_list(cli, "--http-sd", o.urls, "URL",
           "Prometheus http_sd endpoint that gives the same lists as JSON");
  app::add_duration(cli, "--http-sd-interval", o.http_sd_interval,
                    "Each http_sd endpoint is asked this often");
  cli.add_option("--http-sd.config.file", o.http_sd_config,
                 "Whom to trust and who we are at those: YAML with tls_config, basic_auth or "
                 "authorization, as Prometheus has them; re-read when it changes")
      ->type_name("FILE");
  add_list(cli, "--dns-sd", o.dns_names, "NAME:PORT|_PORT._PROTOCOL.NAME",
           "Name of DNS whose A (else AAAA) records, or whose SRV records, are exporters");
  app::add_duration(cli, "--dns-sd-interval", o.dns_sd_interval,
                    "Each name is asked for this often");
  cli.add_option(
         "--dns-server", o.dns_servers,
         "Servers to ask for them, with commas between (default: those of /etc/resolv.conf)")
      ->type_name("ADDRESS[:PORT]");
  add_list(cli, "--kube-sd", o.services, "NAMESPACE/SERVICE[:PORT]",
           "Service of Kubernetes whose ready endpoints are exporters, followed at the API server; "
           "their nodes' names are the endpoints'");
  app::add_kube_options(cli, o.kubeconfig, o.kube_context);
}

void declare_scrape(CLI::App& cli, Options& o) {
  app::add_duration(cli, "--scrape-interval", o.scrape.interval,
                    "Each target is scraped this often");
  app::add_duration(cli, "--scrape-timeout", o.scrape.timeout,
                    "A scrape that takes longer has failed; below the interval");
  app::add_duration(cli, "--scrape-backoff", o.scrape.max_backoff,
                    "A target that keeps failing is asked less often, but at least this often; 0s: "
                    "every interval");
  app::add_choice<std::string>(cli, "--scrape-scheme", o.scheme,
                               {{"http", "http"}, {"https", "https"}},
                               "How to ask targets that do not say");
  cli.add_option("--scrape.config.file", o.scrape_config,
                 "Whom to trust and who we are at the targets: YAML with tls_config, basic_auth or "
                 "authorization, as Prometheus has them; re-read when it changes")
      ->type_name("FILE");
  cli.add_flag("--scrape-gzip", o.scrape.gzip,
               "Ask for compressed answers: less network, more CPU on both sides");
  cli.add_flag("--scrape-extra-metrics", o.scrape.extra_metrics,
               "Also serve scrape_timeout_seconds, scrape_sample_limit, scrape_body_size_bytes");
  add_count(cli, "--max-body", o.scrape.max_body_bytes, 1024, "BYTES",
            "An answer of so many bytes, uncompressed, has failed");
  add_count(cli, "--sample-limit", o.scrape.limits.max_samples, 1, "COUNT",
            "Samples of an answer; one with more has failed");
  add_count(
      cli, "--label-limit", o.scrape.limits.max_labels, 4, "COUNT",
      "Labels of a series, its name and its target's included; an answer with more has failed");
  add_count(cli, "--label-name-length-limit", o.scrape.limits.max_label_name_bytes, 1, "BYTES",
            "A label's name; an answer with a longer one has failed");
  add_count(cli, "--label-value-length-limit", o.scrape.limits.max_label_value_bytes, 1, "BYTES",
            "A label's value or a metric's name; an answer with a longer one has failed");
  add_count(cli, "--target-limit", o.scrape.target_limit, 0, "COUNT",
            "With more targets, all of them have failed without being asked; 0: any number");
  cli.add_option("--scrape-threads", o.scrape.threads, "Threads that receive, parse and derive")
      ->type_name("COUNT")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
}

}  // namespace

void declare(CLI::App& cli, Options& o) {
  app::add_web_options(cli, o.listen, o.web_config);
  declare_discovery(cli, o);
  declare_scrape(cli, o);
  app::add_duration(cli, "--lookback", o.lookback, "Samples older than this are not served");
  cli.add_option("--prometheus-url", o.prometheus_url,
                 "Prometheus that answers /query, which is about the past")
      ->type_name("http[s]://HOST[:PORT][/PREFIX]");
  cli.add_option("--external-label", o.external_labels,
                 "Label added to every series of /federate that lacks it. Repeatable")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
}

std::string problem(const Options& o) {
  if (o.scrape.timeout >= o.scrape.interval || o.scrape.timeout.count() <= 0) {
    return "--scrape-timeout must be above 0 and below --scrape-interval";
  }
  if (o.http_sd_interval.count() <= 0) return "--http-sd-interval must be above 0";
  if (o.dns_sd_interval.count() <= 0) return "--dns-sd-interval must be above 0";
  if (o.lookback.count() <= 0) return "--lookback must be above 0";
  return {};
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
                      (name[0] < '0' || name[0] > '9') && !name.starts_with("__") &&
                      text::utf8_valid(text);
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

tl::expected<std::vector<std::unique_ptr<Source>>, std::string> make_sources(
    const Options& o, std::unique_ptr<kube::Client>& kube) {
  std::vector<std::unique_ptr<Source>> sources;
  std::string wrong;
  const auto add = [&](tl::expected<std::unique_ptr<Source>, std::string> source) {
    if (source) {
      sources.push_back(std::move(*source));
    } else if (wrong.empty()) {
      wrong = source.error();
    }
  };
  for (const std::string& path : o.files) add(std::make_unique<FileSource>(path));
  if (!o.urls.empty()) {
    const auto config = http::open_client_config(o.http_sd_config);
    if (!config) return tl::unexpected("--http-sd.config.file: " + config.error());
    for (const std::string& url : o.urls) add(make_http_source(url, o.http_sd_interval, *config));
  }
  for (const std::string& name : o.dns_names) {
    add(make_dns_source(name, o.dns_sd_interval, o.dns_servers));
  }
  if (!o.services.empty()) {
    auto client = kube::Client::open(o.kubeconfig, o.kube_context);
    if (!client) return tl::unexpected("--kube-sd: " + client.error());
    kube = std::move(*client);
    for (const std::string& service : o.services) add(make_kube_source(service, *kube));
  }
  if (!wrong.empty()) return tl::unexpected(wrong);
  return sources;
}

}  // namespace optipod::aggregator
