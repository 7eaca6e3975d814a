// SPDX-License-Identifier: Apache-2.0
//
// What `pigeon` minimises, as functions of one node's change: the cluster's sums are kept as
// distances from its mean utilisation before, so that what one node changes is not lost in
// rounding. Formulas: docs/policies/pigeon.md
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include "extender/cluster/demand.hpp"

namespace optipod::extender::pigeon {

inline constexpr std::size_t kMost = 5;
/// One value for each resource looked at; the rest is 0.
using Vector = std::array<double, kMost>;
using Matrix = std::array<Vector, kMost>;

/// Albert and Zhang's coefficient of variation of several variables, √(μ'Σμ) / μ'μ: of one,
/// standard deviation / mean. 0 where all means are 0.
double variation(const Vector& mean, const Matrix& covariance);

/// Of what pods ask for, in units of the nodes' mean capacity. `resources`: positions in
/// wire::Resources, as many as of `capacity` count.
double demand_variation(const DemandMoments& demand, const std::vector<std::size_t>& resources,
                        const Vector& capacity);

/// Utilisations of nodes, 0 .. 1, as moments.
class Moments {
 public:
  Moments() = default;
  /// `mean`: of the utilisations that add() is to be called with, `resources` of them.
  Moments(const Vector& mean, std::size_t resources) : resources_(resources), mean_(mean) {}
  void add(const Vector& utilization);
  /// One node goes from `from` to `to`; N is `resources`, as below.
  template <std::size_t N>
  void change(const Vector& from, const Vector& to) {
    for (std::size_t j = 0; j < N; ++j) {
      sum_[j] += to[j] - from[j];
      for (std::size_t k = 0; k < N; ++k) {
        product_[j][k] +=
            (to[j] - mean_[j]) * (to[k] - mean_[k]) - (from[j] - mean_[j]) * (from[k] - mean_[k]);
      }
    }
  }

  /// Standard deviation of the first resource if one node went from `from` to `to`.
  [[nodiscard]] double deviation_after(double from, double to) const;
  /// variation() likewise; N is `resources`, known to the compiler because this is the inner loop.
  template <std::size_t N>
  [[nodiscard]] double variation_after(const Vector& from, const Vector& to) const {
    // With P the sums of products and d the node's distances, nΣ = P + d'd'ᵀ - ddᵀ -
    // n·shift·shiftᵀ: of which only P takes a double loop.
    const double per_node = 1 / nodes_;
    double products = 0, square = 0, before = 0, after = 0, shifted = 0;
    std::array<double, N> mean;
    for (std::size_t j = 0; j < N; ++j) {
      const double shift = (sum_[j] + to[j] - from[j]) * per_node;
      mean[j] = mean_[j] + shift;
      square += mean[j] * mean[j];
      shifted += mean[j] * shift;
      before += mean[j] * (from[j] - mean_[j]);
      after += mean[j] * (to[j] - mean_[j]);
      products += product_[j][j] * mean[j] * mean[j];
      for (std::size_t k = 0; k < j; ++k) products += 2 * product_[j][k] * mean[j] * mean[k];
    }
    const double form = (products + after * after - before * before) * per_node - shifted * shifted;
    return square > 0 ? std::sqrt(std::max(form, 0.0)) / square : 0;
  }

  [[nodiscard]] double nodes() const { return nodes_; }
  /// Sum of the first resource's distances from mean().
  [[nodiscard]] double sum() const { return sum_[0]; }
  [[nodiscard]] double mean() const { return mean_[0]; }

 private:
  std::size_t resources_ = 0;
  double nodes_ = 0;
  Vector mean_{};     ///< what distances are from
  Vector sum_{};      ///< of distances
  Matrix product_{};  ///< sums of their products
};

/// How many distances there are below a point, their sum and the sum of their squares.
class Distances {
 public:
  struct Below {
    double count = 0, sum = 0, square = 0;
  };

  /// Adds `weight` (1 or -1) times `distance`. All of it before sort().
  void add(double distance, double weight) { entry_.push_back({distance, weight, {}}); }
  /// For points of `from` .. `to`; what lies elsewhere need not be in order.
  void sort(double from, double to);
  [[nodiscard]] Below below(double point) const;
  [[nodiscard]] const Below& all() const { return all_; }

 private:
  struct Entry {
    double distance, weight;
    Below upto;  ///< of this and all before
  };
  std::vector<Entry> entry_;
  Below before_, all_;  ///< before the first entry; altogether
};

/// CONSOLIDATE's value if one node went from `from` to `to`: 1 - √(mean of d²), d being a node's
/// distance from the mean as a share of the way to empty or to full. `nodes` and `changes` hold
/// distances of the first resource from moments.mean(); O(log of their number).
double consolidation_after(const Moments& moments, const Distances& nodes, const Distances& changes,
                           double from, double to);

}  // namespace optipod::extender::pigeon
