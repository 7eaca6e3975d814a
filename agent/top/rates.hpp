// SPDX-License-Identifier: Apache-2.0
//
// What changed between two ticks, per second: the numbers a person watches.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shm/tick.hpp"

namespace optipod::top {

/// Rates of one container or of the node. Unset: the kernel does not tell, or nothing happened that
/// a quantile could be taken of.
struct Rates {
  std::optional<double> cpus_used;         ///< CPUs
  std::optional<double> waiting;           ///< mean number of runnable tasks without a CPU
  std::optional<double> wait_p95_seconds;  ///< 95th percentile of the wait of one dispatch
  std::optional<double> preempted_by[shm::kPreemptedByCount];  ///< per second
  std::optional<double> switches[shm::kSwitchKinds];           ///< per second
  std::optional<double>
      stalled[shm::kResources];  ///< 0..1: share of time some task was stalled (PSI)
  std::optional<double> read_bytes, written_bytes;  ///< per second
  std::optional<double> block_p95_seconds;          ///< reads and writes together
  std::optional<double> inflight;                   ///< requests, now
};

struct ContainerRates {
  std::string name;  ///< namespace/pod/container, or the cgroup's path outside Kubernetes
  Rates rates;
};

struct Delta {
  double seconds = 0;  ///< between the two samples
  Rates node;
  /// CPU use, waiting and preemptions of the node that no row of `containers` has: tasks in inner
  /// cgroups, in new ones, and above the limit.
  Rates rest;
  /// Only those in both ticks; what hurts most comes first.
  std::vector<ContainerRates> containers;
};

/// Empty when the ticks are not two moments of one writer's life in order.
std::optional<Delta> difference(const shm::Tick& before, const shm::Tick& now);

/// Quantile of the events added between two states of a histogram, in seconds; linear within a
/// bucket, as Prometheus' histogram_quantile. Unset when nothing was added.
std::optional<double> quantile(const shm::Histogram& before, const shm::Histogram& now, double q);

}  // namespace optipod::top
