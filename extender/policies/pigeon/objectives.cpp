// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/pigeon/objectives.hpp"

#include <algorithm>
#include <cmath>

namespace optipod::extender::pigeon {

double variation(const Vector& mean, const Matrix& covariance) {
  double form = 0, square = 0;
  for (std::size_t j = 0; j < kMost; ++j) {
    square += mean[j] * mean[j];
    for (std::size_t k = 0; k < kMost; ++k) form += mean[j] * covariance[j][k] * mean[k];
  }
  return square > 0 ? std::sqrt(std::max(form, 0.0)) / square : 0;
}

double demand_variation(const DemandMoments& demand, const std::vector<std::size_t>& resources,
                        const Vector& capacity) {
  Vector mean{};
  Matrix covariance{};
  const auto share = [&](std::size_t j, double amount) {
    return capacity[j] > 0 ? amount / capacity[j] : 0;
  };
  for (std::size_t j = 0; j < resources.size(); ++j) {
    mean[j] = share(j, demand.mean[resources[j]]);
    for (std::size_t k = 0; k < resources.size(); ++k) {
      const double second = share(k, share(j, demand.second[resources[j]][resources[k]]));
      covariance[j][k] = second - mean[j] * share(k, demand.mean[resources[k]]);
    }
  }
  return variation(mean, covariance);
}

void Moments::add(const Vector& utilization) {
  ++nodes_;
  for (std::size_t j = 0; j < resources_; ++j) {
    const double d = utilization[j] - mean_[j];
    sum_[j] += d;
    for (std::size_t k = 0; k < resources_; ++k) product_[j][k] += d * (utilization[k] - mean_[k]);
  }
}

double Moments::deviation_after(double from, double to) const {
  const double shift = (sum_[0] + to - from) / nodes_;
  const double before = from - mean_[0], after = to - mean_[0];
  const double square = (product_[0][0] + after * after - before * before) / nodes_;
  return std::sqrt(std::max(square - shift * shift, 0.0));
}

namespace {

Distances::Below operator+(const Distances::Below& a, const Distances::Below& b) {
  return {a.count + b.count, a.sum + b.sum, a.square + b.square};
}

Distances::Below operator-(const Distances::Below& a, const Distances::Below& b) {
  return {a.count - b.count, a.sum - b.sum, a.square - b.square};
}

Distances::Below weighted(double weight, double distance) {
  return {weight, weight * distance, weight * distance * distance};
}

}  // namespace

void Distances::sort(double from, double to) {
  before_ = all_ = {};
  std::erase_if(entry_, [&](const Entry& e) {
    const Below it = weighted(e.weight, e.distance);
    all_ = all_ + it;
    if (e.distance < from) before_ = before_ + it;
    return e.distance < from || e.distance > to;
  });
  std::ranges::sort(entry_, {}, &Entry::distance);
  Below upto = before_;
  for (Entry& e : entry_) e.upto = upto = upto + weighted(e.weight, e.distance);
}

Distances::Below Distances::below(double point) const {
  const auto at = std::ranges::lower_bound(entry_, point, {}, &Entry::distance);
  return at == entry_.begin() ? before_ : std::prev(at)->upto;
}

namespace {

/// Sum of (distance - point)².
double around(const Distances::Below& b, double point) {
  return std::max(b.square - 2 * point * b.sum + b.count * point * point, 0.0);
}

/// One distance, if it is below the point.
Distances::Below one(double distance, double point) {
  return distance < point ? Distances::Below{1, distance, distance * distance} : Distances::Below{};
}

}  // namespace

double consolidation_after(const Moments& moments, const Distances& nodes, const Distances& changes,
                           double from, double to) {
  const double point = (moments.sum() + to - from) / moments.nodes();
  const double mean = moments.mean() + point;
  if (!(mean > 0 && mean < 1)) return 0;
  const double before = from - moments.mean(), after = to - moments.mean();
  const Distances::Below below =
      nodes.below(point) + changes.below(point) - one(before, point) + one(after, point);
  const Distances::Below every =
      nodes.all() + changes.all() - weighted(1, before) + weighted(1, after);
  const double squares = around(below, point) / (mean * mean) +
                         around(every - below, point) / ((1 - mean) * (1 - mean));
  return 1 - std::sqrt(squares / moments.nodes());
}

}  // namespace optipod::extender::pigeon
