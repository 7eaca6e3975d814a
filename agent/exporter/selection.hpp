// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <tl/expected.hpp>

#include "agent/exporter/metric.hpp"

namespace optipod::exporter {

/// The metrics a page shows, as collect[] of a request chooses them: those of a subject ("node"),
/// of a topic ("cpu"), or of both ("node_cpu"). Topic::kStatus is on every page.
class Selection {
 public:
  /// Everything.
  Selection() = default;
  /// The union of the groups named; everything when there is none. The error names the group that
  /// is unknown, and those that are known.
  static tl::expected<Selection, std::string> parse(std::span<const std::string> groups);

  [[nodiscard]] bool has(const Metric& metric) const { return (bits_ & bit(metric)) != 0; }
  bool operator==(const Selection&) const = default;

 private:
  static_assert(kSubjects * kTopics <= 64);
  static std::uint64_t bit(const Metric& metric) {
    return 1ULL << (static_cast<unsigned>(metric.subject) * kTopics +
                    static_cast<unsigned>(metric.topic));
  }

  std::uint64_t bits_ = ~0ULL;
};

}  // namespace optipod::exporter
