// SPDX-License-Identifier: Apache-2.0
//
// Arithmetic on the records' histograms.
#pragma once

#include <optional>

#include "shm/records.hpp"

namespace optipod::top {

/// Events added between two states of a histogram. A counter of one writer never goes backwards; if
/// one does all the same, nothing is better than a huge number.
shm::Histogram added(const shm::Histogram& before, const shm::Histogram& now);
shm::Histogram sum(const shm::Histogram& a, const shm::Histogram& b);
double events(const shm::Histogram& histogram);

/// Quantile in seconds; linear within a bucket, as Prometheus' histogram_quantile. Unset when there
/// is no event.
std::optional<double> quantile(const shm::Histogram& histogram, double q);

}  // namespace optipod::top
