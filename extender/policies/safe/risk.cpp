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

}  // namespace

double overload_risk(double mean, double deviation, double threshold) {
  mean = std::clamp(mean, 0.0, 1.0);
  if (threshold >= 1) return 0;
  if (threshold <= 0) return mean > 0 ? 1 : 0;
  if (deviation <= 0) return plain_risk(mean, 0, threshold);
  return risk_from(mean, std::min(deviation, kMostDeviation), threshold);
}

double RiskTable::stretched(double squeezed) {
  const double z = squeezed / (1 - std::abs(squeezed) / kNear);
  return std::clamp(z, -kMostZ, kMostZ);  // instead of infinity
}

RiskTable::RiskTable(double threshold)
    : threshold_(threshold), table_((kRows + 1) * (kColumns + 1)) {
  for (std::uint32_t r = 0; r <= kRows; ++r) {
    fill_row(kMostDeviation * r / kRows, &table_[r * (kColumns + 1)]);
  }
}

/// From the largest mean to the smallest.
void RiskTable::fill_row(double deviation, float* row) const {
  double least = std::numeric_limits<double>::infinity();
  for (std::uint32_t c = 0; c <= kColumns; ++c) {
    const double z = stretched(c / kColumnsPerUnit - kNear);
    const double mean = threshold_ - z * deviation;
    double risk = 0;
    if (threshold_ <= 0 || threshold_ >= 1) {
      risk = threshold_ <= 0 ? 1 : 0;
    } else if (deviation == 0) {
      risk = normal_risk(z);
    } else if (mean >= 1) {
      risk = least = mean;  // the limit goes on, so that the cell which 1 lies in is right
    } else if (mean >= least_mean(deviation)) {
      risk = least = std::min(least, plain_risk(mean, deviation, threshold_));
    } else {  // likewise for the cell in which Beta distributions begin
      risk = least < least_mean(deviation) ? least : mean;
    }
    row[c] = static_cast<float>(risk);
  }
}

RiskTable::Spread RiskTable::spread(Pair deviation) {
  Spread out;
  for (int lane = 0; lane < 2; ++lane) {
    const double d = std::min(deviation[lane], kMostDeviation);
    const double row = d * (kRows / kMostDeviation);
    out.row[lane] = std::min(static_cast<std::uint32_t>(row), kRows - 1);
    out.down[lane] = row - out.row[lane];
    out.per_deviation[lane] = std::min(1 / d, kMostZ);  // a step for no deviation
    out.least_mean[lane] = least_mean(d);
  }
  return out;
}

}  // namespace optipod::extender
