// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/pigeon/pigeon.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "extender/policies/pigeon/objectives.hpp"

namespace optipod::extender {
namespace {

using pigeon::Distances;
using pigeon::Moments;
using pigeon::Vector;

/// Placements whose values differ by less leave the cluster alike: what is left of rounding.
constexpr double kAlike = 1e-12;

struct NamedObjective {
  std::string_view name;
  PigeonObjective objective;
};
constexpr std::array<NamedObjective, 3> kObjectives{
    {{"LOAD_BALANCE", PigeonObjective::kLoadBalance},
     {"CONSOLIDATE", PigeonObjective::kConsolidate},
     {"A_BINPACK", PigeonObjective::kABinpack}}};

/// Of one resource of a node.
struct Share {
  double per_capacity = 0;  ///< 1 / allocatable; 0: there is none of it
  double used = 0;          ///< requested
  double utilization = 0;   ///< used, of what there is, 0 .. 1
  double room = 0;          ///< for more
};

/// A cache line for two resources, the next for the others.
struct alignas(64) Node {
  std::array<Share, pigeon::kMost> share{};  ///< [resource looked at]
};

/// Of what was requested before and `more`; none of none is not in use.
double utilization(const Share& share, double more) {
  const double part = (share.used + more) * share.per_capacity;
  return part > 0 ? std::min(part, 1.0) : 0;
}

template <std::size_t N>
Vector utilization(const Node& node) {
  Vector u{};
  for (std::size_t j = 0; j < N; ++j) u[j] = node.share[j].utilization;
  return u;
}

template <std::size_t N>
Vector utilization(const Node& node, const Vector& more) {
  Vector u{};
  for (std::size_t j = 0; j < N; ++j) u[j] = utilization(node.share[j], more[j]);
  return u;
}

template <std::size_t N>
Vector looked_at(const wire::Resources& amounts, const PigeonParameters& p) {
  Vector v{};
  for (std::size_t j = 0; j < N; ++j) v[j] = amounts[p.resources[j]];
  return v;
}

template <std::size_t N>
Vector sum(const Vector& a, const Vector& b) {
  Vector v{};
  for (std::size_t j = 0; j < N; ++j) v[j] = a[j] + b[j];
  return v;
}

/// Calls `work` with the number of resources as a constant: what is done for each node is unrolled.
template <class Work>
decltype(auto) with_count(std::size_t resources, Work work) {
  static_assert(pigeon::kMost == 5);
  switch (resources) {
    case 1:
      return work(std::integral_constant<std::size_t, 1>());
    case 2:
      return work(std::integral_constant<std::size_t, 2>());
    case 3:
      return work(std::integral_constant<std::size_t, 3>());
    case 4:
      return work(std::integral_constant<std::size_t, 4>());
    default:
      return work(std::integral_constant<std::size_t, 5>());
  }
}

struct PreparedCluster final : Prepared {
  // [row]. Apart, as `known` would lie in a cache line that few decisions look at.
  std::vector<Node> node;
  std::vector<std::uint8_t> known;  ///< whether Kubernetes has said anything of it
  Vector mean_capacity{};
  /// Of all known nodes for A_BINPACK, else of those that have the first resource.
  Moments moments;
  Distances distances;  ///< for CONSOLIDATE

  /// Null: Kubernetes has said nothing of it.
  [[nodiscard]] const Node* of(const Question& q, std::size_t candidate) const {
    const std::uint32_t row = q.row[candidate];
    return row == NodeTable::kUnknown || known[row] == 0 ? nullptr : &node[row];
  }
};

/// One decision that looks at N resources.
template <std::size_t N>
class Placement {
 public:
  Placement(const PigeonParameters& p, const PreparedCluster& cluster, const Question& q)
      : p_(p), cluster_(cluster), q_(q), moments_(cluster.moments) {
    const wire::Resources demand = demand_of(q.pod.requests);
    demand_ = looked_at<N>(demand, p);
    if (p.objective == PigeonObjective::kABinpack) {
      DemandMoments history = q.snapshot.demand;
      history.add(demand);
      demand_variation_ = pigeon::demand_variation(history, p.resources, cluster.mean_capacity);
    }
    if (q.booking.empty()) return;
    for (std::size_t i = 0; i < q.size(); ++i) book(i);
    // The mean that they are compared with moves by less than one node's worth.
    booked_.sort(moments_.sum() / moments_.nodes(), (moments_.sum() + 1) / moments_.nodes());
  }

  [[nodiscard]] double demand_variation() const { return demand_variation_; }

  /// What is to be minimal; NaN where the pod does not fit.
  [[nodiscard]] double value(const Node& n, std::size_t candidate) const {
    if (q_.booking.empty() || q_.booking[candidate] == 0) {
      if (!fits(n, {})) return kMissing;
      return value(n, utilization<N>(n), utilization<N>(n, demand_));
    }
    const Vector booked = looked_at<N>(q_.booked(candidate).requests, p_);
    if (!fits(n, booked)) return kMissing;
    return value(n, utilization<N>(n, booked), utilization<N>(n, sum<N>(booked, demand_)));
  }

 private:
  [[nodiscard]] double value(const Node& n, const Vector& from, const Vector& to) const {
    switch (p_.objective) {
      case PigeonObjective::kLoadBalance:
        return moments_.nodes() > 0 ? moments_.deviation_after(from[0], to[0]) : 0;
      case PigeonObjective::kConsolidate:
        return moments_.nodes() > 0 ? consolidation(n, from[0], to[0]) : 0;
      case PigeonObjective::kABinpack:
        break;
    }
    return std::abs(moments_.template variation_after<N>(from, to) - demand_variation_);
  }

  [[nodiscard]] bool fits(const Node& n, const Vector& booked) const {
    bool fit = true;
    for (std::size_t j = 0; j < N; ++j) {
      fit = fit && (demand_[j] <= 0 || demand_[j] <= n.share[j].room - booked[j]);
    }
    return fit;
  }

  [[nodiscard]] double consolidation(const Node& n, double from, double to) const {
    if (n.share[0].per_capacity > 0) {
      return consolidation_after(moments_, cluster_.distances, booked_, from, to);
    }
    // Not among the nodes that are looked at: nothing changes.
    const double any = moments_.mean();
    return consolidation_after(moments_, cluster_.distances, booked_, any, any);
  }

  /// Takes what is on its way to a candidate into the cluster's moments.
  void book(std::size_t candidate) {
    if (q_.booking[candidate] == 0) return;
    const Node* const n = cluster_.of(q_, candidate);
    if (n == nullptr) return;
    const Vector from = utilization<N>(*n);
    const Vector to = utilization<N>(*n, looked_at<N>(q_.booked(candidate).requests, p_));
    moments_.template change<N>(from, to);
    if (p_.objective == PigeonObjective::kConsolidate && from[0] != to[0]) {
      booked_.add(from[0] - moments_.mean(), -1);
      booked_.add(to[0] - moments_.mean(), 1);
    }
  }

  const PigeonParameters& p_;
  const PreparedCluster& cluster_;
  const Question& q_;
  Moments moments_;
  Distances booked_;
  Vector demand_{};
  double demand_variation_ = kMissing;
};

}  // namespace

tl::expected<PigeonObjective, std::string> pigeon_objective(std::string_view name) {
  for (const NamedObjective& known : kObjectives) {
    if (known.name == name) return known.objective;
  }
  return tl::unexpected(fmt::format(
      "\"{}\" is no objective: give LOAD_BALANCE, CONSOLIDATE or A_BINPACK (in POLICY_OBJECTIVE "
      "likewise)",
      name));
}

std::string problem(const PigeonParameters& p) {
  if (p.resources.empty() || p.resources.size() > pigeon::kMost) {
    return fmt::format(
        "{} resources are not 1 to {}: name those that count, the most important "
        "first (in NUM_RESOURCES, how many of {})",
        p.resources.size(), pigeon::kMost, fmt::join(kPigeonResources, ", "));
  }
  for (std::size_t j = 0; j < p.resources.size(); ++j) {
    if (p.resources[j] >= wire::kMostResources) {
      return fmt::format(
          "resource {} of the list is none that is kept: name cpu, memory, pods, "
          "ephemeral-storage or an extended resource that is configured",
          j + 1);
    }
    const auto first = std::ranges::find(p.resources, p.resources[j]) - p.resources.begin();
    if (first != static_cast<std::ptrdiff_t>(j)) {
      return fmt::format("resources {} and {} of the list are the same: name each once", first + 1,
                         j + 1);
    }
  }
  return {};
}

std::shared_ptr<const Prepared> Pigeon::prepare(const Snapshot& snapshot) const {
  auto cluster = std::make_shared<PreparedCluster>();
  cluster->node.resize(snapshot.size());
  cluster->known.resize(snapshot.size());
  const bool all = p_.objective == PigeonObjective::kABinpack;
  const auto counts = [all, &cluster](std::size_t row) {
    return cluster->known[row] != 0 && (all || cluster->node[row].share[0].per_capacity > 0);
  };
  Vector mean{};
  double nodes = 0;
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    const NodeFacts& facts = snapshot.facts[row];
    Node& node = cluster->node[row];
    cluster->known[row] = facts.known ? 1 : 0;
    for (std::size_t j = 0; j < p_.resources.size(); ++j) {
      const double capacity = facts.allocatable[p_.resources[j]];
      Share& share = node.share[j];
      share.per_capacity = capacity > 0 ? 1 / capacity : 0;
      share.used = facts.requested[p_.resources[j]];
      share.utilization = utilization(share, 0);
      // Amounts are sums of many requests: a rounding error is no lack.
      share.room = capacity - share.used + 1e-9 * capacity;
    }
    if (!counts(row)) continue;
    ++nodes;
    const Vector u = utilization<pigeon::kMost>(node);
    for (std::size_t j = 0; j < pigeon::kMost; ++j) {
      mean[j] += (u[j] - mean[j]) / nodes;
      if (j >= p_.resources.size()) continue;
      const double capacity = facts.allocatable[p_.resources[j]];
      cluster->mean_capacity[j] += (capacity - cluster->mean_capacity[j]) / nodes;
    }
  }
  cluster->moments = Moments(mean, p_.resources.size());
  for (std::size_t row = 0; row < snapshot.size(); ++row) {
    if (!counts(row)) continue;
    const Vector u = utilization<pigeon::kMost>(cluster->node[row]);
    cluster->moments.add(u);
    if (p_.objective == PigeonObjective::kConsolidate) cluster->distances.add(u[0] - mean[0], 1);
  }
  cluster->distances.sort(-1, 1);
  return cluster;
}

void Pigeon::judge(const Question& question, const Prepared* prepared, Judgement& out) const {
  const auto& cluster = *static_cast<const PreparedCluster*>(prepared);
  std::vector<double>& value = out.memo;
  value.assign(question.size() + 1, kMissing);
  double least = std::numeric_limits<double>::infinity(), most = -least;
  with_count(p_.resources.size(), [&](auto count) {
    const Placement<count()> placement(p_, cluster, question);
    value[question.size()] = placement.demand_variation();
    for (std::size_t i = 0; i < question.size(); ++i) {
      prefetch<Node>(cluster.node, question.row, i);
      const Node* const node = cluster.of(question, i);
      if (node == nullptr) continue;
      out.score[i] = 0;  // unless it fits
      value[i] = placement.value(*node, i);
      least = value[i] < least ? value[i] : least;  // NaN changes neither
      most = value[i] > most ? value[i] : most;
    }
  });
  const bool alike = most - least <= kAlike;
  const double per_range = alike ? 0 : 9 / (most - least);
  for (std::size_t i = 0; i < question.size(); ++i) {
    if (std::isnan(value[i])) continue;
    out.score[i] = alike ? 1 : (1 + per_range * (most - value[i])) / 10;
  }
}

std::span<const std::string_view> Pigeon::terms() const {
  static constexpr std::array<std::string_view, 4> kTerms{"objective", "utilization",
                                                          "utilization_after", "demand_variation"};
  return kTerms;
}

void Pigeon::explain(const Question& question, const Prepared* prepared, const Judgement& judged,
                     std::size_t candidate, std::span<double> values) const {
  const Node* const node = static_cast<const PreparedCluster*>(prepared)->of(question, candidate);
  if (node == nullptr) return;
  const Vector booked = looked_at<1>(question.booked(candidate).requests, p_);
  const Vector demand = looked_at<1>(demand_of(question.pod.requests), p_);
  values[0] = judged.memo[candidate];
  values[1] = utilization<1>(*node, booked)[0];
  values[2] = utilization<1>(*node, sum<1>(booked, demand))[0];
  values[3] = judged.memo[question.size()];
}

}  // namespace optipod::extender
