// SPDX-License-Identifier: Apache-2.0
// pigeon's objectives by their definitions: places the pod, looks at every node, and takes it away.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "extender/policies/pigeon/pigeon.hpp"

namespace optipod::extender::test {

class PigeonModel {
 public:
  PigeonModel(PigeonObjective objective, std::vector<std::size_t> resources,
              const Snapshot& snapshot, const wire::Pod& pod, std::vector<std::uint32_t> candidates,
              const std::vector<Booked>& booked)
      : objective_(objective),
        resources_(std::move(resources)),
        facts_(snapshot.facts),
        candidates_(std::move(candidates)),
        pod_(demand_of(pod.requests)),
        demand_(snapshot.demand) {
    for (std::size_t i = 0; i < booked.size(); ++i) {
      facts_[candidates_[i]].requested += booked[i].requests;
    }
    demand_.add(pod_);
  }

  /// What is to be minimal if the pod is placed on the candidate; NaN where it cannot be.
  [[nodiscard]] double value(std::size_t candidate) const {
    std::vector<NodeFacts> facts = facts_;
    NodeFacts& there = facts[candidates_[candidate]];
    if (!there.known) return kMissing;
    for (const std::size_t r : resources_) {
      if (pod_[r] > there.allocatable[r] - there.requested[r]) return kMissing;
    }
    there.requested += pod_;
    switch (objective_) {
      case PigeonObjective::kLoadBalance:
        return deviation(utilizations(facts));
      case PigeonObjective::kConsolidate:
        return consolidation(utilizations(facts));
      case PigeonObjective::kABinpack:
        return std::abs(of_system(facts) - of_demand());
    }
    return kMissing;
  }

 private:
  using Rows = std::vector<std::vector<double>>;

  static double share(const NodeFacts& f, std::size_t resource) {
    return f.allocatable[resource] > 0
               ? std::clamp(f.requested[resource] / f.allocatable[resource], 0.0, 1.0)
               : 0;
  }
  /// Of the first resource, of the nodes that have it.
  [[nodiscard]] std::vector<double> utilizations(const std::vector<NodeFacts>& facts) const {
    std::vector<double> u;
    for (const NodeFacts& f : facts) {
      if (f.known && f.allocatable[resources_[0]] > 0) u.push_back(share(f, resources_[0]));
    }
    return u;
  }
  static double mean(const std::vector<double>& u) {
    double sum = 0;
    for (const double v : u) sum += v;
    return sum / static_cast<double>(u.size());
  }
  static double deviation(const std::vector<double>& u) {
    double sum = 0;
    for (const double v : u) sum += (v - mean(u)) * (v - mean(u));
    return std::sqrt(sum / static_cast<double>(u.size()));
  }
  static double consolidation(const std::vector<double>& u) {
    const double m = mean(u);
    if (m <= 0 || m >= 1) return 0;
    double sum = 0;
    for (const double v : u) sum += std::pow(v < m ? (m - v) / m : (v - m) / (1 - m), 2);
    return 1 - std::sqrt(sum / static_cast<double>(u.size()));
  }

  static double variation(const std::vector<double>& mu, const Rows& sigma) {
    double form = 0, square = 0;
    for (std::size_t j = 0; j < mu.size(); ++j) {
      square += mu[j] * mu[j];
      for (std::size_t k = 0; k < mu.size(); ++k) form += mu[j] * sigma[j][k] * mu[k];
    }
    return square > 0 ? std::sqrt(std::max(form, 0.0)) / square : 0;
  }
  [[nodiscard]] double of_system(const std::vector<NodeFacts>& facts) const {
    const std::size_t n = resources_.size();
    std::vector<std::vector<double>> u(n);
    for (const NodeFacts& f : facts) {
      for (std::size_t j = 0; f.known && j < n; ++j) u[j].push_back(share(f, resources_[j]));
    }
    std::vector<double> mu;
    mu.reserve(n);
    for (const auto& column : u) mu.push_back(mean(column));
    Rows sigma(n, std::vector<double>(n, 0));
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t k = 0; k < n; ++k) {
        for (std::size_t i = 0; i < u[j].size(); ++i) {
          sigma[j][k] += (u[j][i] - mu[j]) * (u[k][i] - mu[k]) / static_cast<double>(u[j].size());
        }
      }
    }
    return variation(mu, sigma);
  }
  [[nodiscard]] double of_demand() const {
    const std::size_t n = resources_.size();
    std::vector<double> mu, capacity;
    for (const std::size_t r : resources_) {
      std::vector<double> all;
      for (const NodeFacts& f : facts_) {
        if (f.known) all.push_back(f.allocatable[r]);
      }
      capacity.push_back(mean(all));
      mu.push_back(demand_.mean[r] / capacity.back());
    }
    Rows sigma(n, std::vector<double>(n, 0));
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t k = 0; k < n; ++k) {
        sigma[j][k] = demand_.second[resources_[j]][resources_[k]] / capacity[j] / capacity[k] -
                      mu[j] * mu[k];
      }
    }
    return variation(mu, sigma);
  }

  PigeonObjective objective_;
  std::vector<std::size_t> resources_;
  std::vector<NodeFacts> facts_;
  std::vector<std::uint32_t> candidates_;
  wire::Resources pod_;
  DemandMoments demand_;
};

}  // namespace optipod::extender::test
