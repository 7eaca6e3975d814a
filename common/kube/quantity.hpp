// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace optipod::kube {

/// A Kubernetes quantity in base units (CPUs, bytes): "100m", "1.5", "2Gi", "1e3", "1E" (exa).
/// Grammar: apimachinery/pkg/api/resource, Quantity: sign? digits with an optional point, then one
/// of n u m "" k M G T P E, Ki Mi Gi Ti Pi Ei, or e|E with a signed integer. nullopt for anything
/// else.
std::optional<double> parse_quantity(std::string_view text);

}  // namespace optipod::kube
