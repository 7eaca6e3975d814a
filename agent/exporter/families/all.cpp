// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/families/families.hpp"

namespace optipod::exporter {

std::vector<Metric> all_metrics() {
  std::vector<Metric> all;
  const auto add = [&all](const auto& families) {
    for (const auto& family : families) all.push_back(family.metric);
  };
  add(status_families());
  add(node_info_families());
  add(node_families());
  add(device_families());
  add(container_families());
  add(neighbour_families());
  add(feature_families());
  add(program_families());
  add(agent_families());
  add(exporter_families());
  for (const Metric& metric : process_metrics()) all.push_back(metric);
  return all;
}

}  // namespace optipod::exporter
