// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace optipod::exporter {

/// Every metric served, as the tables of docs/metrics.md.
std::string metrics_as_markdown();

}  // namespace optipod::exporter
