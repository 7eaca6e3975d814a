// SPDX-License-Identifier: Apache-2.0
//
// What a metric is. Each is defined once, beside the function that writes its samples (families/):
// pages, collect[], and docs/metrics.md are all made of that definition.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/text/exposition.hpp"

namespace optipod::exporter {

/// Whom a metric is about; decides its prefix.
enum class Subject {
  kSample,     ///< optipod_sample_: the page itself
  kAgent,      ///< optipod_agent_
  kNode,       ///< optipod_node_, also of its devices
  kContainer,  ///< optipod_container_: labels namespace, pod, container
  kExporter,   ///< optipod_exporter_
  kProcess,    ///< process_: the exporter's
};
inline constexpr std::size_t kSubjects = 6;
std::string_view to_string(Subject subject);  ///< "node"
std::string_view prefix(Subject subject);     ///< "optipod_node_"

/// What a metric is about.
enum class Topic {
  kStatus,    ///< whether the values are there and how old they are: on every page
  kInfo,      ///< names and sizes
  kCpu,       ///< waiting for CPUs, using them
  kPressure,  ///< PSI
  kMemory,
  kBlock,  ///< block devices
  kNetwork,
  kSelf,  ///< what OptiPod costs and how it does
};
inline constexpr std::size_t kTopics = 8;
std::string_view to_string(Topic topic);  ///< "cpu"

/// A label whose value needs no escaping.
struct Label {
  std::string_view name, value;
};

struct Metric {
  Subject subject;
  Topic topic;
  std::string_view name;  ///< behind the prefix: "cpu_usage_seconds_total"
  text::MetricType type;
  std::string_view unit;    ///< "seconds", "bytes": then the name says so too; "" counts things
  std::string_view labels;  ///< besides the subject's own: "device,operation={read,write}"
  std::string_view source;  ///< where in the kernel it comes from
  std::string_view help;    ///< what it counts, one sentence
  std::string_view high;    ///< what a high value means; "" when it is not a matter of high and low
};

std::string full_name(const Metric& metric);

}  // namespace optipod::exporter
