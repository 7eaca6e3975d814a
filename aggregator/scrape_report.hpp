// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "aggregator/series.hpp"
#include "aggregator/store.hpp"

namespace optipod::aggregator {

/// up and its companions of one target, as Prometheus makes them. Immutable; targets share schemas.
class ScrapeReport {
 public:
  /// `labels` go onto every series. `extra`: scrape_timeout_seconds, scrape_sample_limit
  /// (`max_samples`) and scrape_body_size_bytes, too.
  ScrapeReport(std::shared_ptr<const LabelSet> labels, std::chrono::milliseconds timeout,
               std::size_t max_samples, bool extra);

  /// Of a scrape that has made `view`, which showed `added` series that the one before had not.
  /// `body`: its bytes, uncompressed; -1 when they were too many.
  [[nodiscard]] SeriesSet make(const TargetView& view, std::size_t added, double body) const;

 private:
  std::vector<double> extra_;  ///< those that never change
  std::shared_ptr<const LabelSet> labels_;
};

}  // namespace optipod::aggregator
