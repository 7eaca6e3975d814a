// SPDX-License-Identifier: Apache-2.0
//
// Which addresses a Service of Kubernetes has, by node, from its EndpointSlices.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "aggregator/discovery/target.hpp"

namespace optipod::aggregator {

/// What of a slice counts.
struct EndpointSlice {
  struct Endpoint {
    std::string address;
    std::string node;  ///< nodeName; "" when it has none
    bool operator==(const Endpoint&) const = default;
  };
  struct Port {
    std::string name;
    std::uint16_t port = 0;
    bool operator==(const Port&) const = default;
  };
  std::string name;
  bool v6 = false;
  std::vector<Endpoint> endpoints;  ///< ready ones: conditions.ready is true, or not said
  std::vector<Port> ports;
  bool operator==(const EndpointSlice&) const = default;
};

/// Text of one EndpointSlice (discovery.k8s.io/v1). One whose addresses are names has no endpoints.
tl::expected<EndpointSlice, std::string> parse_endpoint_slice(std::string_view json);

/// The slices of one Service, as a list and a watch tell them.
class EndpointSlices {
 public:
  /// `port`: a number, a port's name, or "": the only port, or else the one named metrics.
  explicit EndpointSlices(std::string port) : port_(std::move(port)) {}

  void begin_list() { listed_.clear(); }
  void put(EndpointSlice slice);
  void erase(const std::string& name) { slices_.erase(name); }
  /// What was not put since begin_list() is gone.
  void end_list();

  /// One target an endpoint, named as its node; of a node that has addresses of both families the
  /// IPv4 one. `problem` becomes what kept a slice out, or "".
  [[nodiscard]] std::vector<Target> targets(std::string& problem) const;

 private:
  [[nodiscard]] tl::expected<std::uint16_t, std::string> port_of(const EndpointSlice& slice) const;

  const std::string port_;
  std::map<std::string, EndpointSlice> slices_;  // by name
  std::set<std::string> listed_;
};

}  // namespace optipod::aggregator
