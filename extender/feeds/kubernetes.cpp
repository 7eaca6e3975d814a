// SPDX-License-Identifier: Apache-2.0
#include "extender/feeds/kubernetes.hpp"

#include <stdexcept>

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
  PodHandler(const wire::ResourceNames& names, ClusterState& state)
      : reader_(names), state_(state) {}
  void begin_list() override { state_.begin_pods(); }
  void object(const kube::EncodedObject& object) override {
    state_.pod(value_or_throw(reader_.pod(object)));
  }
  void deleted(const kube::EncodedObject& object) override {
    state_.pod_gone(value_or_throw(reader_.pod(object)).uid);
  }
  void end_list() override { state_.end_pods(); }
  void abandon_list() override {}

 private:
  wire::ObjectReader reader_;
  ClusterState& state_;
};

class NodeHandler final : public kube::Handler {
 public:
  NodeHandler(const wire::ResourceNames& names, ClusterState& state)
      : reader_(names), state_(state) {}
  void begin_list() override { state_.begin_nodes(); }
  void object(const kube::EncodedObject& object) override {
    state_.node(value_or_throw(reader_.node(object)));
  }
  void deleted(const kube::EncodedObject& object) override {
    state_.node_gone(value_or_throw(reader_.node(object)).name);
  }
  void end_list() override { state_.end_nodes(); }
  void abandon_list() override {}

 private:
  wire::ObjectReader reader_;
  ClusterState& state_;
};

/// The API server sends what is bound and has not ended; a pod that ends is told as deleted.
kube::ReflectorOptions pod_options() {
  kube::ReflectorOptions options;
  options.resource = "/api/v1/pods";
  options.protobuf = true;
  options.field_selector = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed";
  return options;
}

kube::ReflectorOptions node_options() {
  kube::ReflectorOptions options;
  options.resource = "/api/v1/nodes";
  options.protobuf = true;
  return options;
}

}  // namespace

struct KubernetesFeed::Impl {
  Impl(const kube::Client& client, const wire::ResourceNames& names, ClusterState& state)
      : pod_handler(names, state),
        node_handler(names, state),
        pods(client, pod_options(), pod_handler),
        nodes(client, node_options(), node_handler) {}

  PodHandler pod_handler;
  NodeHandler node_handler;
  kube::Reflector pods, nodes;
};

KubernetesFeed::KubernetesFeed(const kube::Client& client, const wire::ResourceNames& names,
                               ClusterState& state)
    : impl_(std::make_unique<Impl>(client, names, state)) {
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
