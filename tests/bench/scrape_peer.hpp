// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <prometheus/metric_family.h>

namespace optipod::bench {

/// A page of the text format as prometheus-cpp's families; empty when it cannot be read.
std::vector<prometheus::MetricFamily> as_families(const std::string& page);

/// What its TextSerializer makes of them.
std::string serialize(const std::vector<prometheus::MetricFamily>& families);

}  // namespace optipod::bench
