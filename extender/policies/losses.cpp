// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/losses.hpp"

#include <algorithm>
#include <cmath>

namespace optipod::extender {

double worse(double a, double b) {
  return a >= b || std::isnan(b) ? a : b;
}

double runqueue_wait(const Snapshot& s, std::size_t row) {
  return worse(s.value(Signal::kRunqueueWait15s)[row], s.value(Signal::kRunqueueWait1m)[row]);
}

double memory_stall(const Snapshot& s, std::size_t row) {
  const double stall =
      worse(s.value(Signal::kMemoryStall15s)[row], s.value(Signal::kMemoryStall1m)[row]);
  return std::min(stall, 1.0);
}

double io_loss(const Snapshot& s, std::size_t row, double half_latency) {
  const auto at = [&](Signal signal) { return s.value(signal)[row]; };
  const double stall = worse(at(Signal::kIoStall15s), at(Signal::kIoStall1m));
  if (!std::isnan(stall)) return std::min(stall, 1.0);
  // No pressure from this kernel: how full the queue is, times how slow the device answers.
  const double inflight = at(Signal::kBlockInflight);
  const double latency = worse(at(Signal::kBlockLatency15s), at(Signal::kBlockLatency1m));
  const double busy = std::isnan(inflight) ? 1 : inflight / (1 + inflight);
  return busy * latency / (latency + half_latency);
}

double network_loss(const Snapshot& s, std::size_t row, double half_retransmits) {
  const double resent =
      worse(s.value(Signal::kNetworkLoss15s)[row], s.value(Signal::kNetworkLoss1m)[row]);
  return resent / (resent + half_retransmits);
}

}  // namespace optipod::extender
