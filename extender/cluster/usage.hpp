// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "extender/wire/resources.hpp"

namespace optipod::extender {

/// What a pod uses, or is expected to.
struct Usage {
  double cpu = 0;     ///< CPUs
  double memory = 0;  ///< bytes
};

/// What is on its way to a node: placed there, or as good as placed, and not seen yet.
struct Booked {
  /// Not in the node's measurements yet.
  Usage usage;
  /// Not in NodeFacts::requested yet.
  wire::Resources requests;
  /// Pods decided on, but not seen bound anywhere: each counts its share.
  double undecided = 0;
};

}  // namespace optipod::extender
