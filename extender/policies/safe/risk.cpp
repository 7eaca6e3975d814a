// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/safe/risk.hpp"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/tools/minima.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

namespace optipod::extender {
namespace {

/// Nothing on 0 .. 1 deviates more.
constexpr double kMostDeviation = 0.5;
/// Below, a Beta distribution is a normal one to all digits that count, and its parameters are so
/// large that evaluating it is slow.
constexpr double kNormalBelow = 1e-4;

namespace policies = boost::math::policies;
using Quiet = policies::policy<
    policies::domain_error<policies::ignore_error>, policies::pole_error<policies::ignore_error>,
    policies::overflow_error<policies::ignore_error>,
    policies::underflow_error<policies::ignore_error>,
    policies::denorm_error<policies::ignore_error>,
    policies::rounding_error<policies::ignore_error>,
    policies::evaluation_error<policies::ignore_error>,
    policies::indeterminate_result_error<policies::ignore_error>, policies::promote_double<false>>;

double normal_risk(double z) {
  return 0.5 * std::erfc(z / std::numbers::sqrt2);
}

/// Of the Beta distribution, or of its limit. 0 < threshold < 1.
double plain_risk(double mean, double deviation, double threshold) {
  if (mean <= 0) return 0;
  if (mean >= 1) return 1;
  if (deviation <= 0) return mean > threshold ? 1 : 0;
  const double variance = deviation * deviation;
  const double most = mean * (1 - mean);
  if (variance >= most) return mean;
  if (deviation < kNormalBelow) return normal_risk((threshold - mean) / deviation);
  const double size = most / variance - 1;
  const double risk = boost::math::ibetac(mean * size, (1 - mean) * size, threshold, Quiet());
  // Where the mean is next to 0 or 1, parameters underflow: the limit again.
  return std::isnan(risk) ? mean : std::clamp(risk, 0.0, 1.0);
}

/// The least mean that a Beta distribution of this deviation has; 1 - this is the greatest.
double least_mean(double deviation) {
  return (1 - std::sqrt(1 - 4 * deviation * deviation)) / 2;
}

/// The least plain_risk() of means of from .. to, where it has one minimum.
double least_risk(double from, double to, double deviation, double threshold) {
  if (from >= to) return 1;
  std::uintmax_t iterations = 60;
  // Of its logarithm, which has no plateau to get lost on.
  const auto log_risk = [&](double mean) {
    return std::log(std::max(plain_risk(mean, deviation, threshold), 1e-300));
  };
  return std::exp(boost::math::tools::brent_find_minima(log_risk, from, to, 26, iterations).second);
}

/// The least plain_risk() of any mean from `mean` on. At one deviation, as the mean rises from 0,
/// the risk rises with it to where Beta distributions begin, falls, rises through the threshold,
/// falls, and rises with the mean again from where Beta distributions end.
double risk_from(double mean, double deviation, double threshold) {
  const double from = std::max(mean, least_mean(deviation));
  const double to = 1 - least_mean(deviation);
  return std::min({plain_risk(mean, deviation, threshold),
                   least_risk(from, std::min(threshold, to), deviation, threshold),
                   least_risk(std::max(from, threshold), to, deviation, threshold)});
}

// The table: a row for each deviation, a column for each distance z from the mean to the threshold
// in deviations. So a step at the threshold is as smooth for a small deviation as for a large one,
// and at one deviation the mean moves along the columns alone.
constexpr std::size_t kRows = 128, kColumns = 192;
/// Nearer to each other around the threshold: at z / (1 + |z| / kSpread).
constexpr double kSpread = 4;
/// Beyond, the risk is 1 or none.
constexpr double kLeastZ = -8, kMostZ = 12;

constexpr double squeezed(double z) {
  return z / (1 + (z < 0 ? -z : z) / kSpread);
}
constexpr double stretched(double squeezed) {
  return squeezed / (1 - (squeezed < 0 ? -squeezed : squeezed) / kSpread);
}
constexpr double kFirst = squeezed(kLeastZ), kLast = squeezed(kMostZ);
constexpr double kColumnsPerUnit = kColumns / (kLast - kFirst);

}  // namespace

double overload_risk(double mean, double deviation, double threshold) {
  mean = std::clamp(mean, 0.0, 1.0);
  if (threshold >= 1) return 0;
  if (threshold <= 0) return mean > 0 ? 1 : 0;
  if (deviation <= 0) return plain_risk(mean, 0, threshold);
  return risk_from(mean, std::min(deviation, kMostDeviation), threshold);
}

RiskTable::RiskTable(double threshold)
    : threshold_(threshold), risk_((kRows + 1) * (kColumns + 1)) {
  if (!(threshold > 0 && threshold < 1)) return;
  for (std::size_t r = 0; r <= kRows; ++r) {
    const double deviation = kMostDeviation * static_cast<double>(r) / kRows;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; c <= kColumns; ++c) {  // from the largest mean to the smallest
      const double z = stretched(kFirst + static_cast<double>(c) / kColumnsPerUnit);
      const double mean = threshold - z * deviation;
      double& entry = risk_[r * (kColumns + 1) + c];
      if (r == 0) {
        entry = normal_risk(z);
      } else if (mean >= 1) {
        entry = least = mean;  // the limit goes on, so that the cell which 1 lies in is right
      } else if (mean >= least_mean(deviation)) {
        entry = least = std::min(least, plain_risk(mean, deviation, threshold));
      } else {  // likewise for the cell in which Beta distributions begin
        entry = least < least_mean(deviation) ? least : mean;
      }
    }
  }
}

double RiskTable::risk(double mean, double deviation) const {
  if (!(threshold_ > 0 && threshold_ < 1) || deviation <= 0) {
    return overload_risk(mean, deviation, threshold_);
  }
  deviation = std::min(deviation, kMostDeviation);
  double limit = 1;
  if (mean < 0.5 && deviation * deviation > mean * (1 - mean)) {
    limit = mean;
    mean = least_mean(deviation);
  }
  const double z = std::clamp((threshold_ - mean) / deviation, kLeastZ, kMostZ);
  const double risk =
      at(deviation * (kRows / kMostDeviation), (squeezed(z) - kFirst) * kColumnsPerUnit);
  return std::clamp(risk, 0.0, limit);
}

double RiskTable::at(double row, double column) const {
  const auto r = std::min(static_cast<std::size_t>(row), kRows - 1);
  const auto c = std::min(static_cast<std::size_t>(column), kColumns - 1);
  const double down = row - static_cast<double>(r);
  const double right = column - static_cast<double>(c);
  const double* const upper = &risk_[r * (kColumns + 1) + c];
  const double* const lower = upper + kColumns + 1;
  const double above = upper[0] + right * (upper[1] - upper[0]);
  const double below = lower[0] + right * (lower[1] - lower[0]);
  return above + down * (below - above);
}

}  // namespace optipod::extender
