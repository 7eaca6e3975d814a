// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery/endpoint_slices.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace optipod::aggregator {
namespace {

using Json = nlohmann::json;

/// A member that may be absent or null; "" then, and for another type.
std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const Json& list_of(const Json& object, const char* key) {
  static const Json kNone = Json::array();
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : kNone;
}

bool is_ready(const Json& endpoint) {
  const auto conditions = endpoint.find("conditions");
  if (conditions == endpoint.end() || !conditions->is_object()) return true;
  const auto ready = conditions->find("ready");
  return ready == conditions->end() || !ready->is_boolean() || ready->get<bool>();
}

void read_endpoint(const Json& json, EndpointSlice& out) {
  if (!json.is_object() || !is_ready(json)) return;
  const Json& addresses = list_of(json, "addresses");
  // They are interchangeable; the first is the one to use.
  if (addresses.empty() || !addresses[0].is_string()) return;
  out.endpoints.push_back({addresses[0].get<std::string>(), text_of(json, "nodeName")});
}

void read_port(const Json& json, EndpointSlice& out) {
  if (!json.is_object()) return;
  const auto port = json.find("port");
  if (port == json.end() || !port->is_number_unsigned()) return;
  const auto number = port->get<std::uint64_t>();
  if (number == 0 || number > 65'535) return;
  out.ports.push_back({text_of(json, "name"), static_cast<std::uint16_t>(number)});
}

}  // namespace

tl::expected<EndpointSlice, std::string> parse_endpoint_slice(std::string_view json) {
  const Json root = Json::parse(json, nullptr, false);
  if (!root.is_object()) return tl::unexpected(std::string("malformed EndpointSlice"));
  const auto metadata = root.find("metadata");
  EndpointSlice out;
  if (metadata != root.end() && metadata->is_object()) out.name = text_of(*metadata, "name");
  if (out.name.empty()) {
    return tl::unexpected(std::string("malformed EndpointSlice: no metadata.name"));
  }
  const std::string type = text_of(root, "addressType");
  out.v6 = type == "IPv6";
  for (const Json& port : list_of(root, "ports")) read_port(port, out);
  if (type == "FQDN") return out;
  for (const Json& endpoint : list_of(root, "endpoints")) read_endpoint(endpoint, out);
  return out;
}

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
