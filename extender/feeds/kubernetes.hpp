// SPDX-License-Identifier: Apache-2.0
//
// Pods and nodes, followed at the API server.
#pragma once

#include <memory>
#include <string>

#include "common/kube/reflector.hpp"
#include "extender/cluster/cluster_state.hpp"
#include "extender/wire/objects.hpp"

namespace optipod::extender {

/// Lists and watches as long as it lives; two threads.
class KubernetesFeed {
 public:
  /// `client` and `state` must outlive it.
  KubernetesFeed(const kube::Client& client, const wire::ResourceNames& names, ClusterState& state);
  ~KubernetesFeed();
  KubernetesFeed(const KubernetesFeed&) = delete;
  KubernetesFeed& operator=(const KubernetesFeed&) = delete;

  [[nodiscard]] kube::ReflectorStatus pods() const;
  [[nodiscard]] kube::ReflectorStatus nodes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::extender
