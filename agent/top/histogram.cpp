// SPDX-License-Identifier: Apache-2.0
#include "agent/top/histogram.hpp"

#include <cmath>
#include <cstddef>

namespace optipod::top {

shm::Histogram added(const shm::Histogram& before, const shm::Histogram& now) {
  const auto grown = [](std::uint64_t was, std::uint64_t is) { return is > was ? is - was : 0; };
  shm::Histogram out{};
  for (std::size_t k = 0; k < shm::kHistogramBuckets; ++k) {
    out.bucket[k] = grown(before.bucket[k], now.bucket[k]);
  }
  out.sum_ns = grown(before.sum_ns, now.sum_ns);
  return out;
}

shm::Histogram sum(const shm::Histogram& a, const shm::Histogram& b) {
  shm::Histogram out = a;
  for (std::size_t k = 0; k < shm::kHistogramBuckets; ++k) out.bucket[k] += b.bucket[k];
  out.sum_ns += b.sum_ns;
  return out;
}

double events(const shm::Histogram& histogram) {
  double total = 0;
  for (const std::uint64_t n : histogram.bucket) total += static_cast<double>(n);
  return total;
}

std::optional<double> quantile(const shm::Histogram& histogram, double q) {
  constexpr double kNsPerSecond = 1e9;
  constexpr std::size_t kLast = shm::kHistogramBuckets - 1;
  const double total = events(histogram);
  if (total == 0) return std::nullopt;
  double rank = q * total;
  for (std::size_t k = 0; k < kLast; ++k) {
    const auto here = static_cast<double>(histogram.bucket[k]);
    if (here > 0 && rank <= here) {
      const double upper = std::ldexp(1.0, static_cast<int>(k));
      const double lower = k == 0 ? 0.0 : upper / 2;
      return (lower + (upper - lower) * rank / here) / kNsPerSecond;
    }
    rank -= here;
  }
  // Above the last finite bound there is only that bound to tell.
  return std::ldexp(1.0, static_cast<int>(kLast) - 1) / kNsPerSecond;
}

}  // namespace optipod::top
