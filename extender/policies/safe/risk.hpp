// SPDX-License-Identifier: Apache-2.0
//
// The probability that a node's utilisation exceeds a threshold, given its mean and standard
// deviation. Derivation, limits and figures: docs/policies/safe.md
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "extender/policies/pair.hpp"

namespace optipod::extender {

/// P(U > threshold) for the Beta distribution of this mean and deviation; where the deviation is
/// too large for one, for the limit that Beta distributions have there (U is 0 or 1, so the mean
/// itself); and never more than for the same deviation around a larger mean, so that it never falls
/// as the mean rises. Finite arguments; `mean` is clamped to 0 .. 1. Never NaN. Takes microseconds.
double overload_risk(double mean, double deviation, double threshold);

/// Nothing on 0 .. 1 deviates more.
inline constexpr double kMostDeviation = 0.5;

/// overload_risk() for one threshold in nanoseconds, interpolated between values computed
/// beforehand. It never falls as the mean rises either. Immutable.
class RiskTable {
 public:
  /// Bounds |√risk() − √overload_risk()| for thresholds of 0.7 .. 0.95; √risk is what a score is
  /// made of. Beyond, it grows to 0.1 next to thresholds 0 and 1.
  static constexpr double kMaxRootError = 0.008;

  /// Some milliseconds.
  explicit RiskTable(double threshold);

  /// What risk() needs of deviations: worked out once, it serves any means.
  struct Spread {
    Pair per_deviation{};       ///< their reciprocals
    Pair least_mean{};          ///< of the Beta distributions that have such a deviation
    Pair down{};                ///< how far it lies from its row towards the next, 0 .. 1
    std::uint32_t row[2] = {};  ///< of the table
  };
  /// `deviation` >= 0.
  [[nodiscard]] static Spread spread(Pair deviation);

  /// `mean` of 0 .. 1.
  [[nodiscard]] Pair risk(Pair mean, const Spread& spread) const {
    // No branch here depends on the node: it would be guessed wrong for every other one.
    const Pair z = (threshold_ - larger(mean, spread.least_mean)) * spread.per_deviation;
    const Pair column = (z / (1 + magnitude(z) / kNear) + kNear) * kColumnsPerUnit;
    Pair risk{};
    for (int lane = 0; lane < 2; ++lane) {
      const auto c = std::min(static_cast<std::uint32_t>(column[lane]), kColumns - 1);
      const float* const above = &table_[spread.row[lane] * (kColumns + 1) + c];
      const float* const below = above + kColumns + 1;
      const Pair upper{above[0], above[1]}, lower{below[0], below[1]};
      const Pair at = upper + spread.down[lane] * (lower - upper);  // in this column and the next
      risk[lane] = at[0] + (column[lane] - c) * (at[1] - at[0]);
    }
    const Pair limit = mean < spread.least_mean ? mean : pair(1);  // below, the limit's own
    return smaller(larger(risk, Pair{}), limit);
  }
  [[nodiscard]] double risk(double mean, double deviation) const {
    return risk(pair(mean), spread(pair(deviation)))[0];
  }

 private:
  // A row for each deviation, a column for each distance z from the mean to the threshold in
  // deviations. So a step at the threshold is as smooth for a small deviation as for a large one,
  // and at one deviation the mean moves along the columns alone.
  static constexpr std::uint32_t kRows = 128, kColumns = 272;
  /// Columns are nearer to each other around the threshold: at z / (1 + |z| / kNear), which no z
  /// takes beyond kNear. So none has to be cut off.
  static constexpr double kNear = 4;
  static constexpr double kMostZ = 1e6;  ///< beyond, the risk is 1 or none
  static constexpr double kColumnsPerUnit = kColumns / (2 * kNear);

  static double stretched(double squeezed);
  void fill_row(double deviation, float* row) const;

  double threshold_;
  // [row][column]; of half the size it has room in a CPU's own cache. Rounding keeps the order.
  std::vector<float> table_;
};

}  // namespace optipod::extender
