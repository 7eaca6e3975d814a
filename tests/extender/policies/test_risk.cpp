// SPDX-License-Identifier: Apache-2.0
// Golden values: kube-safe-scheduler's own code, run; docs/policies/safe.md
#include "extender/policies/safe/risk.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

TEST_CASE("risk of overload: kube-safe-scheduler's values") {
  CHECK(overload_risk(0.425, 0.1, 0.9) == Approx(8.51049e-9).epsilon(1e-6));
  CHECK(overload_risk(0.8, 0.15, 0.9) == Approx(0.3095837).epsilon(1e-6));
  CHECK(overload_risk(0.9, 0.2, 0.9) == Approx(0.7653117).epsilon(1e-6));
  CHECK(overload_risk(0.5, 0.1, 0.9) == Approx(4.6757683e-7).epsilon(1e-6));
  CHECK(overload_risk(0.75, 0.1, 0.9) == Approx(0.0454039).epsilon(2e-6));
  CHECK(overload_risk(0.6, 0.12, 0.9) == Approx(0.001174972).epsilon(1e-6));
  CHECK(overload_risk(0.925, 0.025, 0.9) == Approx(0.8434925).epsilon(1e-6));
  CHECK(overload_risk(0, 0.2, 0.9) == 0);
  CHECK(overload_risk(1, 0.1, 0.9) == 1);
  CHECK(overload_risk(0.85, 0, 0.9) == 0);
  CHECK(overload_risk(0.9, 0, 0.9) == 0);
  CHECK(overload_risk(0.91, 0, 0.9) == 1);
}

TEST_CASE("risk of overload: a deviation too large for a Beta distribution is no certainty") {
  // It was 1 in the original, however light the load.
  CHECK(overload_risk(0.02, 0.4, 0.9) == Approx(0.02));  // U is 0 or 1
  CHECK(overload_risk(0.97, 0.4, 0.9) == Approx(0.97));
  // Not more than for the same deviation around a larger mean, which a Beta distribution does have:
  CHECK(overload_risk(0.1, 0.3, 0.9) == Approx(overload_risk(0.27, 0.3, 0.9)).epsilon(0.05));
  CHECK(overload_risk(0.1, 0.3, 0.9) < 0.05);
}

TEST_CASE(
    "risk of overload: never NaN, never falling with the mean, nor with the deviation below "
    "the threshold") {
  const std::vector<double> deviations{0,    1e-300, 1e-12, 1e-5, 1e-4, 0.001, 0.01,
                                       0.03, 0.1,    0.2,   0.3,  0.4,  0.45,  0.499,
                                       0.5,  0.501,  0.99,  1,    1e300};
  for (const double threshold : {0.0, 1e-9, 0.1, 0.5, 0.7, 0.9, 0.99, 1.0}) {
    const RiskTable table(threshold);
    std::vector<double> last_row;
    for (const double deviation : deviations) {
      double last = 0, last_table = 0;
      std::vector<double> row;
      for (int i = 0; i <= 100; ++i) {
        const double mean = i / 100.0;
        INFO("threshold " << threshold << ", deviation " << deviation << ", mean " << mean);
        const double risk = overload_risk(mean, deviation, threshold);
        const double interpolated = table.risk(mean, deviation);
        REQUIRE(risk >= last - 1e-7);
        REQUIRE(risk <= 1);
        REQUIRE(interpolated >= last_table - 1e-12);
        REQUIRE(interpolated <= 1);
        last = risk;
        last_table = interpolated;
        row.push_back(risk);
        const bool below = mean < threshold - 0.01 && threshold >= 0.7;
        if (below && !last_row.empty()) {
          REQUIRE(risk >= last_row[static_cast<std::size_t>(i)] - 1e-7);
        }
      }
      last_row = std::move(row);
    }
  }
}

TEST_CASE("risk of overload: the table is as near to it as promised") {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> share(0, 1);
  double worst = 0;
  for (const double threshold : {0.7, 0.8, 0.9, 0.95}) {
    const RiskTable table(threshold);
    for (int i = 0; i < 5'000; ++i) {
      const double most = i % 3 == 0 ? 0.6 : i % 3 == 1 ? 0.1 : 0.005;
      const double mean = share(random), deviation = most * share(random);
      const double error = std::abs(std::sqrt(table.risk(mean, deviation)) -
                                    std::sqrt(overload_risk(mean, deviation, threshold)));
      INFO("threshold " << threshold << ", mean " << mean << ", deviation " << deviation);
      REQUIRE(error <= RiskTable::kMaxRootError);
      worst = std::max(worst, error);
    }
  }
  CHECK(worst > RiskTable::kMaxRootError / 4);  // it is a bound, not a guess
}

}  // namespace
}  // namespace optipod::extender
