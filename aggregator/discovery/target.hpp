// SPDX-License-Identifier: Apache-2.0
//
// One exporter to scrape, and the texts that such are read from.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "aggregator/series.hpp"

namespace optipod::aggregator {

struct Target {
  std::string node;     ///< unique over all targets
  std::string address;  ///< host:port
  std::string path = "/metrics";
  LabelPairs labels;   ///< sorted by name; always holds instance, job and node
  std::string scheme;  ///< http or https; "": as all others
  std::chrono::milliseconds interval{}, timeout{};  ///< 0: as all others

  [[nodiscard]] std::string url() const {
    return (scheme.empty() ? "http" : scheme) + "://" + address + path;
  }
  bool operator==(const Target&) const = default;
};

/// There are thousands, which sources, discovery and scraper have in common.
using Targets = std::vector<std::shared_ptr<const Target>>;

/// Those that are in `known` already are not kept twice. `scheme`: of those that say none.
Targets share(std::vector<Target> list, const std::string& scheme = "", const Targets& known = {});

inline constexpr std::string_view kDefaultJob = "optipod";
inline constexpr std::size_t kMaxTargets = 100'000;

/// What a source says of a target, by label.
using TargetLabels = std::map<std::string, std::string>;

/// Understands `instance`, `job`, `__metrics_path__`, `__scheme__`, `__scrape_interval__` and
/// `__scrape_timeout__`, as Prometheus does. The node's name is the first of: the label `node`;
/// __meta_kubernetes_{endpointslice_endpoint,endpoint,pod}_node_name; __meta_kubernetes_node_name;
/// the address. Labels without a value are none, other names with `__` in front are dropped, all
/// else goes onto every series of the target.
tl::expected<Target, std::string> make_target(const std::string& address, TargetLabels labels);

/// Those that make_target() makes the same target of, with its address.
TargetLabels target_labels(const Target& target);

/// "[NAME=][http[s]://]HOST:PORT[/path]"; NAME defaults to HOST:PORT. The error says what is wrong
/// and shows an example.
tl::expected<Target, std::string> parse_target(std::string_view text);

/// A list of {"targets": ["host:port", ...], "labels": {...}}, as file_sd and http_sd have it.
enum class FileFormat { kJson, kYaml };
tl::expected<std::vector<Target>, std::string> parse_file_sd(std::string_view text,
                                                             FileFormat format);

}  // namespace optipod::aggregator
