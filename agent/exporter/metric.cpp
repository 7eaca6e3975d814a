// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/metric.hpp"

#include <array>

namespace optipod::exporter {

std::string_view to_string(Subject subject) {
  constexpr std::array<std::string_view, kSubjects> kNames = {"sample",    "agent",    "node",
                                                              "container", "exporter", "process"};
  return kNames[static_cast<std::size_t>(subject)];
}

std::string_view prefix(Subject subject) {
  constexpr std::array<std::string_view, kSubjects> kPrefixes = {
      "optipod_sample_",    "optipod_agent_",    "optipod_node_",
      "optipod_container_", "optipod_exporter_", "process_"};
  return kPrefixes[static_cast<std::size_t>(subject)];
}

std::string_view to_string(Topic topic) {
  constexpr std::array<std::string_view, kTopics> kNames = {
      "status", "info", "cpu", "pressure", "memory", "block", "network", "self"};
  return kNames[static_cast<std::size_t>(topic)];
}

std::string full_name(const Metric& metric) {
  return std::string(prefix(metric.subject)).append(metric.name);
}

}  // namespace optipod::exporter
