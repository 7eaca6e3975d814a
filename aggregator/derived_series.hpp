// SPDX-License-Identifier: Apache-2.0
//
// What was derived of a node → the series optipod:node_* of docs/metrics.md §2.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "aggregator/derive.hpp"
#include "aggregator/series.hpp"

namespace optipod::aggregator {

/// The view as series with label `node`, stamped `measured_ms`; a value is served until the window
/// it speaks for (15 s for :last) no longer reaches back to it. `optipod:node_up:last` is stamped
/// `scraped_ms` when the node is down. All nodes share a schema.
class DerivedSeries {
 public:
  explicit DerivedSeries(std::string_view node);
  [[nodiscard]] SeriesSet make(const Derived& derived, bool up, std::int64_t measured_ms,
                               std::int64_t scraped_ms) const;
  /// Of a node that is down: what was made last, which has the times it had.
  [[nodiscard]] static SeriesSet down(SeriesSet last, std::int64_t scraped_ms);
  [[nodiscard]] const std::shared_ptr<const LabelSet>& labels() const { return labels_; }

 private:
  std::shared_ptr<const LabelSet> labels_;
};

/// What people are shown of it. `view` is one of DerivedSeries, or has nothing.
Figures figures_of(const SeriesSet& view);

}  // namespace optipod::aggregator
