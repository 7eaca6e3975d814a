// SPDX-License-Identifier: Apache-2.0
//
// Nodes and bound pods as the API server's lists and watches tell of them, kept in a fixed number
// of bytes each. Bookings follow from it: a binding that is seen moves what a decision had booked.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "extender/cluster/ledger.hpp"
#include "extender/cluster/snapshot.hpp"
#include "extender/cluster/workloads.hpp"
#include "extender/wire/objects.hpp"

namespace optipod::extender {

/// What is told to a snapshot.
struct ClusterFacts {
  /// Of the nodes that exist, in order; the same vector as long as they are the same nodes.
  std::shared_ptr<const std::vector<std::string>> names;
  std::vector<NodeFacts> facts;  ///< [as names]
  DemandMoments demand;
  std::uint64_t bindings = 0;  ///< Ledger::bindings() contained in `facts`
  bool complete = false;       ///< pods and nodes have been listed
};

/// Thread-safe. Lists of pods and lists of nodes may come from two threads; each list's calls come
/// one at a time: begin, objects, end or abandon; changes in between are objects, too.
class ClusterState {
 public:
  using Bound = std::function<void(std::string_view uid, std::string_view node)>;
  using Clock = std::function<std::int64_t()>;  ///< Unix ms

  /// `ledger` and `workloads` must outlive it. `bound` is called for each pod when
  /// it is first seen bound.
  ClusterState(Ledger& ledger, const Workloads& workloads, Clock now, Bound bound = {});

  void begin_pods();
  /// Takes in a pod that exists; one that is not bound, or has ended, counts as gone.
  void pod(const wire::Pod& pod);
  void pod_gone(std::string_view uid);
  void end_pods();
  /// Nothing is known of any pod, as before the first list. Bookings stay for their time.
  void forget_pods();

  void begin_nodes();
  void node(const wire::NodeObject& node);
  void node_gone(std::string_view name);
  void end_nodes();
  void forget_nodes();  ///< as forget_pods()

  [[nodiscard]] ClusterFacts facts() const;
  /// As in facts().
  [[nodiscard]] bool complete() const;
  /// Grows with each change.
  [[nodiscard]] std::uint64_t version() const;
  /// Workloads::key() of a bound pod; 0: unknown, or without a controller.
  [[nodiscard]] std::uint64_t workload(std::string_view name_space, std::string_view pod) const;
  /// The node that a pod is known to be bound to, "" when none is.
  [[nodiscard]] std::string bound_to(std::string_view uid) const;
  [[nodiscard]] std::size_t pods() const;
  [[nodiscard]] std::size_t nodes() const;  ///< that exist

 private:
  struct Node {
    wire::Resources allocatable, requested;
    double congestion = kMissing;
    std::size_t pods = 0;
    std::uint64_t zone = 0;  // NodeFacts
    std::uint32_t list = 0;
    bool exists = false, avoided = false;
  };
  struct Pod {
    std::unordered_map<std::string, Node>::pointer node;
    wire::Resources requests;
    std::uint64_t name = 0;  // key into workload_of_name_
    std::uint32_t list = 0;
  };
  using Pods = std::unordered_map<std::uint64_t, Pod>;

  Pods::iterator remove(Pods::iterator pod);
  void drop_if_unused(const std::string& name);
  void follow(const wire::Pod& pod);
  void list_nodes() const;

  Ledger& ledger_;
  const Workloads& workloads_;
  const Clock now_;
  const Bound bound_;

  mutable std::mutex mutex_;
  std::unordered_map<std::string, Node> nodes_;  // elements stay where they are
  Pods pods_;                                    // by hash of the uid
  std::unordered_map<std::uint64_t, std::uint64_t> workload_of_name_;
  DemandMoments demand_;
  std::uint64_t version_ = 0;
  std::uint32_t pod_list_ = 0, node_list_ = 0;
  std::size_t nodes_existing_ = 0;
  // The existing nodes in order of name; null names: the set has changed.
  mutable std::shared_ptr<const std::vector<std::string>> names_;
  mutable std::vector<const Node*> listed_;
  bool pods_complete_ = false, nodes_complete_ = false;
};

}  // namespace optipod::extender
