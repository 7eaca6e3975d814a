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

/// Several times what Kubernetes is made for: of one that says more nothing is believed.
struct KubernetesLimits {
  std::size_t pods = 1'000'000, nodes = 200'000;
};

/// Lists and watches as long as it lives; two threads. A list longer than the limits fails; when
/// changes after it lead to twice as much, all is forgotten and listed anew.
class KubernetesFeed {
 public:
  /// `client` and `state` must outlive it.
  KubernetesFeed(const kube::Client& client, const wire::ResourceNames& names, ClusterState& state,
                 KubernetesLimits limits = {});
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
