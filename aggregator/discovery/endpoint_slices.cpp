// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery/endpoint_slices.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace optipod::aggregator {

void EndpointSlices::put(EndpointSlice slice) {
  listed_.insert(slice.name);
  const std::string name = slice.name;
  slices_.insert_or_assign(name, std::move(slice));
}

void EndpointSlices::end_list() {
  std::erase_if(slices_, [this](const auto& entry) { return !listed_.contains(entry.first); });
}

tl::expected<std::uint16_t, std::string> EndpointSlices::port_of(const EndpointSlice& slice) const {
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port_.data(), port_.data() + port_.size(), number);
  if (!port_.empty() && error == std::errc{} && end == port_.data() + port_.size()) return number;
  if (port_.empty() && slice.ports.size() == 1) return slice.ports[0].port;
  const std::string wanted = port_.empty() ? "metrics" : port_;
  const auto named = std::find_if(slice.ports.begin(), slice.ports.end(),
                                  [&](const auto& port) { return port.name == wanted; });
  if (named != slice.ports.end()) return named->port;
  return tl::unexpected(fmt::format("EndpointSlice {} has {} ports, none of them named {}",
                                    slice.name, slice.ports.size(), wanted));
}

std::vector<Target> EndpointSlices::targets(std::string& problem) const {
  problem.clear();
  std::vector<Target> out;
  std::set<std::string> v4_nodes;
  const auto take = [&](const EndpointSlice& slice) {
    if (slice.endpoints.empty()) return;
    const auto port = port_of(slice);
    if (!port) {
      problem = port.error();
      return;
    }
    for (const auto& [address, node] : slice.endpoints) {
      if (slice.v6 && v4_nodes.contains(node)) continue;
      if (!slice.v6 && !node.empty()) v4_nodes.insert(node);
      auto target = make_target(
          slice.v6 ? fmt::format("[{}]:{}", address, *port) : fmt::format("{}:{}", address, *port),
          {{"node", node}});
      if (!target) {
        problem = fmt::format("EndpointSlice {}: {}", slice.name, target.error());
        continue;
      }
      out.push_back(std::move(*target));
    }
  };
  for (const bool v6 : {false, true}) {
    for (const auto& [name, slice] : slices_) {
      if (slice.v6 == v6) take(slice);
    }
  }
  return out;
}

}  // namespace optipod::aggregator
