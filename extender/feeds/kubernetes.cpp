// SPDX-License-Identifier: Apache-2.0
#include "extender/feeds/kubernetes.hpp"

#include <stdexcept>

#include <fmt/core.h>

namespace optipod::extender {
namespace {

/// What is wrong with an object ends the list or watch, as the reflector's handlers may: to go on
/// without it would be to miss a pod for good.
template <class T>
T value_or_throw(tl::expected<T, std::string> read) {
  if (!read) throw std::runtime_error(read.error());
  return std::move(*read);
}

class PodHandler final : public kube::Handler {
 public:
  PodHandler(const wire::ResourceNames& names, ClusterState& state, std::size_t most)
      : reader_(names), state_(state), most_(most) {}
  void begin_list() override { state_.begin_pods(); }
  void object(const kube::EncodedObject& object) override {
    state_.pod(value_or_throw(reader_.pod(object)));
    if (state_.pods() <= most_) return;
    state_.forget_pods();
    throw std::runtime_error(fmt::format("more than {} pods; all are forgotten", most_));
  }
  void deleted(const kube::EncodedObject& object) override {
    state_.pod_gone(value_or_throw(reader_.pod(object)).uid);
  }
  void end_list() override { state_.end_pods(); }
  void abandon_list() override {}

 private:
  wire::ObjectReader reader_;
  ClusterState& state_;
  const std::size_t most_;
};

class NodeHandler final : public kube::Handler {
 public:
  NodeHandler(const wire::ResourceNames& names, ClusterState& state, std::size_t most)
      : reader_(names), state_(state), most_(most) {}
  void begin_list() override { state_.begin_nodes(); }
  void object(const kube::EncodedObject& object) override {
    state_.node(value_or_throw(reader_.node(object)));
    if (state_.nodes() <= most_) return;
    state_.forget_nodes();
    throw std::runtime_error(fmt::format("more than {} nodes; all are forgotten", most_));
  }
  void deleted(const kube::EncodedObject& object) override {
    state_.node_gone(value_or_throw(reader_.node(object)).name);
  }
  void end_list() override { state_.end_nodes(); }
  void abandon_list() override {}

 private:
  wire::ObjectReader reader_;
  ClusterState& state_;
  const std::size_t most_;
};

/// The API server sends what is bound and has not ended; a pod that ends is told as deleted.
kube::ReflectorOptions pod_options(std::size_t most) {
  kube::ReflectorOptions options;
  options.max_objects = most;
  options.resource = "/api/v1/pods";
  options.protobuf = true;
  options.field_selector = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed";
  return options;
}

kube::ReflectorOptions node_options(std::size_t most) {
  kube::ReflectorOptions options;
  options.max_objects = most;
  options.resource = "/api/v1/nodes";
  options.protobuf = true;
  return options;
}

}  // namespace

struct KubernetesFeed::Impl {
  Impl(const kube::Client& client, const wire::ResourceNames& names, ClusterState& state,
       KubernetesLimits limits)
      : pod_handler(names, state, kRoom * limits.pods),
        node_handler(names, state, kRoom * limits.nodes),
        pods(client, pod_options(limits.pods), pod_handler),
        nodes(client, node_options(limits.nodes), node_handler) {}

  /// A new list may be of other objects altogether, beside the old ones until it ends.
  static constexpr std::size_t kRoom = 2;

  PodHandler pod_handler;
  NodeHandler node_handler;
  kube::Reflector pods, nodes;
};

KubernetesFeed::KubernetesFeed(const kube::Client& client, const wire::ResourceNames& names,
                               ClusterState& state, KubernetesLimits limits)
    : impl_(std::make_unique<Impl>(client, names, state, limits)) {
  impl_->nodes.start();
  impl_->pods.start();
}

KubernetesFeed::~KubernetesFeed() = default;

kube::ReflectorStatus KubernetesFeed::pods() const {
  return impl_->pods.status();
}

kube::ReflectorStatus KubernetesFeed::nodes() const {
  return impl_->nodes.status();
}

}  // namespace optipod::extender
