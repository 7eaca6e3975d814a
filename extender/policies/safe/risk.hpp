// SPDX-License-Identifier: Apache-2.0
//
// The probability that a node's utilisation exceeds a threshold, given its mean and standard
// deviation. Derivation, limits and figures: docs/policies/safe.md
#pragma once

#include <cstddef>
#include <vector>

namespace optipod::extender {

/// P(U > threshold) for the Beta distribution of this mean and deviation; where the deviation is
/// too large for one, for the limit that Beta distributions have there (U is 0 or 1, so the mean
/// itself); and never more than for the same deviation around a larger mean, so that it never falls
/// as the mean rises. Finite arguments; `mean` is clamped to 0 .. 1. Never NaN. Takes microseconds.
double overload_risk(double mean, double deviation, double threshold);

/// overload_risk() for one threshold in nanoseconds, interpolated between values computed
/// beforehand. It never falls as the mean rises either. Immutable.
class RiskTable {
 public:
  /// Bounds |√risk() − √overload_risk()| for thresholds of 0.7 .. 0.95; √risk is what a score is
  /// made of. Beyond, it grows to 0.1 next to thresholds 0 and 1.
  static constexpr double kMaxRootError = 0.008;

  /// Some milliseconds.
  explicit RiskTable(double threshold);

  /// `mean` of 0 .. 1, `deviation` >= 0.
  [[nodiscard]] double risk(double mean, double deviation) const;

 private:
  [[nodiscard]] double at(double row, double column) const;

  double threshold_;
  std::vector<double> risk_;  ///< [deviation][column]
};

}  // namespace optipod::extender
