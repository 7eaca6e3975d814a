// SPDX-License-Identifier: Apache-2.0
//
// One node's containers' counters → what each Kubernetes pod on it uses: optipod:pod_* of
// docs/metrics.md §2. No I/O, no clock, no lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/series.hpp"

namespace optipod::aggregator {

/// Planned once a schema; pods live as long as pages show a series of theirs. At most kMaxPods, of
/// which each costs 208 bytes beside its three series. Not thread-safe.
class PodUsage {
 public:
  static constexpr std::size_t kMaxPods = 4096;
  /// A rate spans the oldest anchor of the last minute to the newest sample. Anchors are samples at
  /// least kAnchorMs apart, so that is 50 to 60 s, once there is so much.
  static constexpr std::int64_t kWindowMs = 60'000, kAnchorMs = 10'000;

  /// `labels` go onto every series. `target_labels`: those that the scraper put onto the page's
  /// series. Where they hold `namespace` or `pod`, the page's own label of that name is
  /// exported_<name>.
  PodUsage(std::shared_ptr<const LabelSet> labels, const LabelPairs& target_labels);

  /// A good page of a living agent, measured at `measured_ms`. The time of the last page is no new
  /// sample; one that went back starts the windows anew. A counter that went down began at zero.
  void update(const SeriesSet& page, std::int64_t measured_ms);

  /// Of the last page. `cpu_usage` and `block_io_bytes` are served for a minute, memory for 15 s.
  [[nodiscard]] SeriesSet series(std::int64_t measured_ms, std::int64_t scraped_ms) const;

 private:
  enum Quantity : std::size_t { kCpu, kBlockIo, kRates, kMemory = kRates, kQuantities };
  static constexpr std::size_t kAnchors = kWindowMs / kAnchorMs + 1;
  using Totals = std::array<double, kRates>;  ///< NaN: not known

  /// One series of the page.
  struct Source {
    std::uint32_t series, pod;
    Quantity quantity;
    double last;  ///< of a counter; NaN before the first
  };
  struct Pod {
    std::string_view namespace_, name;  ///< in schema_
    Totals total;                       ///< since the pod was first seen
    std::array<Totals, kAnchors> at;    ///< at the anchors, in slots as anchor_ms_
    std::array<std::optional<double>, kQuantities> value;
  };

  void plan(const std::shared_ptr<const Schema>& schema);
  void carry_over(const Schema& schema, std::vector<Source>& sources, std::vector<Pod>& pods) const;
  void make_series();
  void take(const SeriesSet& page);
  void rate(std::int64_t now_ms);

  std::shared_ptr<const LabelSet> labels_;
  std::string namespace_label_, pod_label_;
  std::shared_ptr<const Schema> schema_;  ///< of the page
  std::vector<Source> sources_;           ///< by quantity, then as schema_->order()
  std::vector<Pod> pods_;                 ///< by namespace and name
  std::shared_ptr<const Schema> derived_;
  std::optional<std::int64_t> last_ms_;
  std::array<std::int64_t, kAnchors> anchor_ms_{};  ///< a ring, oldest at first_anchor_
  std::size_t first_anchor_ = 0, anchors_ = 0;
};

}  // namespace optipod::aggregator
