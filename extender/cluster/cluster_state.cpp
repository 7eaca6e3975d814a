// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/cluster_state.hpp"

#include <algorithm>

namespace optipod::extender {
namespace {

/// A pod that has run for so long is in every measurement.
constexpr std::int64_t kYoungMs = 120'000;

std::uint64_t hash(std::string_view text) {
  return std::hash<std::string_view>{}(text);
}

std::uint64_t name_key(std::string_view name_space, std::string_view name) {
  std::string both;
  both.reserve(name_space.size() + name.size() + 1);
  both.append(name_space).append("/").append(name);
  return hash(both);
}

bool has_ended(const wire::Pod& pod) {
  return pod.phase == "Succeeded" || pod.phase == "Failed";
}

}  // namespace

ClusterState::ClusterState(Ledger& ledger, const Workloads& workloads, Clock now, Bound bound)
    : ledger_(ledger), workloads_(workloads), now_(std::move(now)), bound_(std::move(bound)) {}

void ClusterState::begin_pods() {
  const std::lock_guard lock(mutex_);
  ++pod_list_;
}

void ClusterState::pod(const wire::Pod& pod) {
  if (pod.node_name.empty() || has_ended(pod)) {
    pod_gone(pod.uid);
    return;
  }
  bool first_seen = false;
  {
    const std::lock_guard lock(mutex_);
    ++version_;
    const auto [at, fresh] = pods_.try_emplace(hash(pod.uid));
    Pod& known = at->second;
    first_seen = fresh;
    known.list = pod_list_;
    if (fresh) {
      known.node = &*nodes_.try_emplace(std::string(pod.node_name)).first;
      ++known.node->second.pods;
      known.name = name_key(pod.name_space, pod.name);
      if (const std::uint64_t workload = Workloads::key(wire::workload_of(pod)); workload != 0) {
        workload_of_name_[known.name] = workload;
      }
      demand_.add(demand_of(pod.requests));
    } else {
      known.node->second.requested -= known.requests;  // an in-place resize changes requests
    }
    known.requests = pod.requests;
    known.node->second.requested += known.requests;
    follow(pod);
  }
  if (first_seen && bound_) bound_(pod.uid, pod.node_name);
}

/// Within the lock, so that facts() never contains a pod that the ledger has yet to hear of.
void ClusterState::follow(const wire::Pod& pod) {
  const std::int64_t now = now_();
  if (pod.running_since_ms != 0 && now - pod.running_since_ms > kYoungMs) return;
  const std::uint64_t workload = Workloads::key(wire::workload_of(pod));
  ledger_.bound(pod.uid, pod.node_name, workloads_.expect(workload, pod.requests), pod.requests,
                pod.running_since_ms, now);
}

void ClusterState::pod_gone(std::string_view uid) {
  const std::lock_guard lock(mutex_);
  const auto found = pods_.find(hash(uid));
  if (found != pods_.end()) {
    ++version_;
    remove(found);
  }
  ledger_.gone(uid);
}

ClusterState::Pods::iterator ClusterState::remove(Pods::iterator pod) {
  Node& node = pod->second.node->second;
  workload_of_name_.erase(pod->second.name);
  node.requested -= pod->second.requests;
  if (--node.pods == 0) node.requested = {};  // no rest of rounding stays
  const std::string name = pod->second.node->first;
  const auto next = pods_.erase(pod);
  drop_if_unused(name);
  return next;
}

void ClusterState::drop_if_unused(const std::string& name) {
  const auto found = nodes_.find(name);
  if (found != nodes_.end() && !found->second.exists && found->second.pods == 0) {
    nodes_.erase(found);
  }
}

void ClusterState::end_pods() {
  const std::lock_guard lock(mutex_);
  ++version_;
  pods_complete_ = true;
  for (auto at = pods_.begin(); at != pods_.end();) {
    at = at->second.list == pod_list_ ? std::next(at) : remove(at);
  }
}

void ClusterState::forget_pods() {
  const std::lock_guard lock(mutex_);
  ++version_;
  pods_complete_ = false;
  for (auto at = pods_.begin(); at != pods_.end();) at = remove(at);
}

void ClusterState::begin_nodes() {
  const std::lock_guard lock(mutex_);
  ++node_list_;
}

void ClusterState::node(const wire::NodeObject& node) {
  const std::uint64_t zone = node.zone.empty() ? 0 : hash(node.zone);
  const std::lock_guard lock(mutex_);
  Node& known = nodes_[std::string(node.name)];
  const bool same_congestion = known.congestion == node.congestion ||
                               (std::isnan(known.congestion) && std::isnan(node.congestion));
  // Kubelets report every few seconds that nothing has changed.
  if (!known.exists || known.allocatable != node.allocatable || !same_congestion ||
      known.avoided != node.avoided || known.zone != zone) {
    ++version_;
  }
  if (!known.exists) {
    ++nodes_existing_;
    names_.reset();
  }
  known.exists = true;
  known.list = node_list_;
  known.allocatable = node.allocatable;
  known.congestion = node.congestion;
  known.avoided = node.avoided;
  known.zone = zone;
}

void ClusterState::node_gone(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(std::string(name));
  if (found == nodes_.end() || !found->second.exists) return;
  ++version_;
  --nodes_existing_;
  names_.reset();
  found->second.exists = false;
  drop_if_unused(found->first);
}

void ClusterState::end_nodes() {
  const std::lock_guard lock(mutex_);
  ++version_;
  nodes_complete_ = true;
  for (auto at = nodes_.begin(); at != nodes_.end();) {
    Node& node = at->second;
    if (node.exists && node.list != node_list_) {
      node.exists = false;
      --nodes_existing_;
      names_.reset();
    }
    at = !node.exists && node.pods == 0 ? nodes_.erase(at) : std::next(at);
  }
}

void ClusterState::forget_nodes() {
  const std::lock_guard lock(mutex_);
  ++version_;
  nodes_complete_ = false;
  nodes_existing_ = 0;
  names_.reset();
  for (auto& [name, node] : nodes_) node.exists = false;
  std::erase_if(nodes_, [](const auto& node) { return node.second.pods == 0; });
}

void ClusterState::list_nodes() const {
  std::vector<const std::pair<const std::string, Node>*> existing;
  existing.reserve(nodes_existing_);
  for (const auto& node : nodes_) {
    if (node.second.exists) existing.push_back(&node);
  }
  std::ranges::sort(existing, {}, [](const auto* n) -> const std::string& { return n->first; });
  auto names = std::make_shared<std::vector<std::string>>();
  names->reserve(existing.size());
  listed_.clear();
  for (const auto* node : existing) {
    names->push_back(node->first);
    listed_.push_back(&node->second);
  }
  names_ = std::move(names);
}

bool ClusterState::complete() const {
  const std::lock_guard lock(mutex_);
  return pods_complete_ && nodes_complete_;
}

ClusterFacts ClusterState::facts() const {
  ClusterFacts out;
  const std::lock_guard lock(mutex_);
  if (!names_) list_nodes();
  out.names = names_;
  out.demand = demand_;
  out.bindings = ledger_.bindings();
  out.complete = pods_complete_ && nodes_complete_;
  out.facts.reserve(listed_.size());
  for (const Node* node : listed_) {
    out.facts.push_back({.known = true,
                         .allocatable = node->allocatable,
                         .requested = node->requested,
                         .congestion = node->congestion,
                         .avoided = node->avoided,
                         .zone = node->zone});
  }
  return out;
}

std::uint64_t ClusterState::version() const {
  const std::lock_guard lock(mutex_);
  return version_;
}

std::uint64_t ClusterState::workload(std::string_view name_space, std::string_view pod) const {
  const std::lock_guard lock(mutex_);
  const auto found = workload_of_name_.find(name_key(name_space, pod));
  return found == workload_of_name_.end() ? 0 : found->second;
}

std::string ClusterState::bound_to(std::string_view uid) const {
  const std::lock_guard lock(mutex_);
  const auto found = pods_.find(hash(uid));
  return found == pods_.end() ? std::string() : found->second.node->first;
}

std::size_t ClusterState::pods() const {
  const std::lock_guard lock(mutex_);
  return pods_.size();
}

std::size_t ClusterState::nodes() const {
  const std::lock_guard lock(mutex_);
  return nodes_existing_;
}

}  // namespace optipod::extender
