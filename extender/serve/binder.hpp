// SPDX-License-Identifier: Apache-2.0
//
// The bind verb: creates the Binding at the API server. Idempotent, and safe to call at once from
// many threads; each call waits for its own requests only.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "common/kube/client.hpp"
#include "extender/cluster/cluster_state.hpp"
#include "extender/cluster/ledger.hpp"
#include "extender/metrics.hpp"
#include "extender/wire/request.hpp"

namespace optipod::extender {

class Binder {
 public:
  /// All must outlive it. `timeout` is for one binding, whole.
  Binder(const kube::Client& client, const ClusterState& state, Ledger& ledger, Metrics& metrics,
         std::chrono::milliseconds timeout);

  /// "" when the pod is bound to the node that was asked for, by us or before us; else what is
  /// wrong, for ExtenderBindingResult.Error.
  std::string bind(const wire::Args& args);

  /// Ends what is under way at once; the program stops.
  void stop() { stop_.request_stop(); }

 private:
  const kube::Client& client_;
  const ClusterState& state_;
  Ledger& ledger_;
  Metrics& metrics_;
  const std::chrono::milliseconds timeout_;
  std::stop_source stop_;
};

}  // namespace optipod::extender
