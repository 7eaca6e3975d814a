// SPDX-License-Identifier: Apache-2.0
//
// What a node's measured waiting costs whoever runs there, each as a share of its time, 0 .. 1; NaN
// where the node has not told. Of two windows the worse counts: a node is blamed quickly and
// forgiven slowly. Formulas: docs/policies/contention.md
#pragma once

#include <cstddef>

#include "extender/cluster/snapshot.hpp"

namespace optipod::extender {

/// The larger of two windows; the one there is; NaN when there is none.
double worse(double a, double b);

/// Tasks waiting for each CPU, 0 and more.
double runqueue_wait(const Snapshot& snapshot, std::size_t row);
double memory_stall(const Snapshot& snapshot, std::size_t row);
/// `half_latency`: block latency that counts as half a loss where the kernel gives no I/O pressure;
/// seconds, positive.
double io_loss(const Snapshot& snapshot, std::size_t row, double half_latency);
/// `half_retransmits`: share of TCP segments sent again that counts as half a loss; positive.
double network_loss(const Snapshot& snapshot, std::size_t row, double half_retransmits);

}  // namespace optipod::extender
