// SPDX-License-Identifier: Apache-2.0
//
// Which addresses a Service of Kubernetes has, by node, from its EndpointSlices.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "aggregator/discovery/endpoint_slice.hpp"
#include "aggregator/discovery/target.hpp"

namespace optipod::aggregator {

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
