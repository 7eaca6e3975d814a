// SPDX-License-Identifier: Apache-2.0
//
// One EndpointSlice, as the API server writes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "common/kube/messages.hpp"

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

/// One EndpointSlice of discovery.k8s.io/v1; one whose addresses are names has no endpoints. A
/// member of another type than it should be is absent in JSON, and an error in protobuf.
tl::expected<EndpointSlice, std::string> read_endpoint_slice(const kube::EncodedObject& object);

}  // namespace optipod::aggregator
