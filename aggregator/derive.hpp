// SPDX-License-Identifier: Apache-2.0
//
// One node's samples → the scheduling view of docs/metrics.md §2. No I/O, no clock, no lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/moments.hpp"
#include "aggregator/series.hpp"
#include "aggregator/steps.hpp"

namespace optipod::aggregator {

/// What is common to a node's histograms of one kind. `bounds` (le) ascend and end in +Inf.
struct HistogramLayout {
  std::vector<double> bounds;
  std::vector<std::string> groups;  ///< what tells the histograms apart ("device operation")
  bool operator==(const HistogramLayout&) const = default;
};

/// Where a page has the histograms of one kind.
struct HistogramPlan {
  static constexpr std::uint32_t kMissing = 0xffffffff;
  std::shared_ptr<const HistogramLayout> layout;
  std::vector<std::uint32_t> series;  ///< groups × bounds; kMissing where the page has none
  bool operator==(const HistogramPlan& other) const;
};

/// Counts as exposed: cumulative over `le` and over time. They stay where the page's values are.
struct HistogramCounts {
  std::shared_ptr<const HistogramPlan> plan;  ///< null when the page has none
  std::shared_ptr<const double> values;       ///< of the page

  [[nodiscard]] const HistogramLayout* layout() const {
    return plan ? plan->layout.get() : nullptr;
  }
  /// By group × bounds + bound; NaN when the page has none.
  [[nodiscard]] double count(std::size_t i) const {
    const std::uint32_t series = plan->series[i];
    return series == HistogramPlan::kMissing ? std::numeric_limits<double>::quiet_NaN()
                                             : values.get()[series];
  }
};

/// What derivation reads of one page. Absent means absent on the page.
struct NodeSample {
  std::int64_t measured_ms = 0;  ///< by the node's clock, as exposed
  std::optional<double> cpus, memory_total, memory_available, inflight;
  PerCounter<double> counters;
  std::array<HistogramCounts, kHistograms> histograms;
};

/// Where a schema has what derivation needs: found once, used for every scrape with that schema,
/// and the same for schemas that have it in the same places. Immutable.
class NodePlan {
 public:
  explicit NodePlan(const Schema& schema);
  /// `set` has the schema that the plan was made of. The sample holds it.
  [[nodiscard]] NodeSample read(const std::shared_ptr<const SeriesSet>& set) const;

  [[nodiscard]] std::uint64_t hash() const;
  friend bool operator==(const NodePlan& a, const NodePlan& b);

 private:
  static constexpr std::uint32_t kMissing = HistogramPlan::kMissing;
  static std::shared_ptr<const HistogramPlan> find_histogram(const Schema& schema,
                                                             std::string_view bucket_name);

  std::uint32_t time_ = kMissing, cpus_ = kMissing, memory_total_ = kMissing,
                memory_available_ = kMissing;
  std::array<std::uint32_t, kCounters> counters_;
  std::vector<std::uint32_t> inflight_;
  std::array<std::shared_ptr<const HistogramPlan>, kHistograms> histograms_;  ///< null: none
};

/// PromQL's histogram_quantile over counts that are cumulative over `bounds`: linear within a
/// bucket, from 0 in the first; the last finite bound when it falls into +Inf. Absent without
/// observations, with less than two buckets, or without +Inf.
std::optional<double> histogram_quantile(double q, std::span<const double> bounds,
                                         std::span<const double> cumulative);

/// What people are shown of the scheduling view. Absent is what cannot be computed.
struct Figures {
  struct Window {
    std::optional<double> cpu_utilization, runqueue_wait, contention, runqueue_wait_p95,
        memory_stall, io_stall, block_io_latency_p95, network_loss;
  };
  std::optional<double> cpus, memory_utilization, memory_bytes, inflight;
  Window w15s, w1m, w5m;
};

/// The scheduling view.
struct Derived : Figures {
  /// A utilisation's longer past, and what it is expected to be.
  struct Past {
    std::optional<WindowMoments> w15m, w1h, w24h;
    std::optional<double> forecast_15m;
  };
  std::array<std::optional<double>, kRates> rate_1m;  ///< per second
  Past cpu, memory;
  std::optional<double> runqueue_wait_max_1h;
};

/// One node's past: the last five minutes as steps, the last day as moments; at a sample every 5 s
/// and two histograms of 22 buckets about 4.5 KB. Holds the last page added. Not thread-safe.
class History {
 public:
  static constexpr std::int64_t kGapMs = 60'000;

  /// A sample with the time of the last one is the same sample. A counter that went down, a time
  /// that went back, or other histogram bounds start the short windows anew with this sample; the
  /// last day starts anew when time went back by more than kGapMs. Samples further apart than
  /// kGapMs say nothing about the time between them to the long windows.
  void add(NodeSample sample);
  [[nodiscard]] bool empty() const { return !last_; }
  [[nodiscard]] Derived derive() const;
  [[nodiscard]] std::size_t steps() const { return steps_.size(); }

 private:
  static std::optional<Step> step(const NodeSample& from, const NodeSample& to);
  [[nodiscard]] Derived::Window window(const StepSums& sums) const;
  [[nodiscard]] Derived::Past past(const Trend& trend) const;
  void remember(const Step& step, const NodeSample& sample);

  std::optional<NodeSample> last_;
  Steps steps_;
  Trend cpu_, memory_;
  Peak runqueue_;
};

}  // namespace optipod::aggregator
