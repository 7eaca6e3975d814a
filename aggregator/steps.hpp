// SPDX-License-Identifier: Apache-2.0
//
// The last five minutes of a node as increases from sample to sample, the finer the newer: what its
// windows of seconds to minutes are summed from. About 3 KiB a node at a sample every 5 s.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace optipod::aggregator {

/// Counters of which only the speed is asked. The first kRates are the eight quantities of the
/// first OptiPod, the last are seconds.
enum Counter : std::size_t {
  kMemoryAllocatedBytes,
  kPageFaults,
  kSwitchesVoluntary,
  kSwitchesInvoluntary,
  kFilesystemReads,
  kFilesystemReadBytes,
  kFilesystemWrites,
  kFilesystemWrittenBytes,
  kRates,
  kSegmentsSent = kRates,
  kSegmentsRetransmitted,
  kCpuUsage,
  kRunqueueWait,
  kThrottledWait,
  kMemoryWaiting,
  kIoWaiting,
  kCounters
};

/// One value a counter; NaN where there is none.
template <typename Number>
struct PerCounter : std::array<Number, kCounters> {
  PerCounter() { this->fill(std::numeric_limits<Number>::quiet_NaN()); }
};

enum HistogramKind : std::size_t { kRunqueueHistogram, kBlockIoHistogram, kHistograms };
inline constexpr std::size_t kMaxBounds = 64;

/// Increases between two samples. No bound or counter of it is negative.
struct Step {
  std::int64_t from_ms = 0, to_ms = 0;
  PerCounter<float> counters;
  /// Per bucket, not cumulative; as many as the histogram has bounds.
  std::array<std::vector<double>, kHistograms> buckets;
};

/// What happened in a window.
struct StepSums {
  std::array<double, kCounters> increase{}, seconds{};  ///< over the steps that have the counter
  std::array<std::array<double, kMaxBounds>, kHistograms> buckets{};
  std::size_t steps = 0;
};

/// Steps that follow each other. What is older than 15 s is merged to about 10 s, what is older
/// than a minute to about 30 s, and what is older than five minutes forgotten; steps that differ in
/// the counters they have are not merged. Not thread-safe.
class Steps {
 public:
  static constexpr std::int64_t kShortMs = 15'000, kMediumMs = 60'000, kLongMs = 300'000;
  static constexpr std::size_t kMaxSteps = 64;

  /// Begins where the last step ended, and has as many buckets; else clear() comes first.
  void add(const Step& step);
  void clear();
  [[nodiscard]] std::size_t size() const { return steps_.size(); }
  [[nodiscard]] bool empty() const { return steps_.empty(); }
  /// Whether the newest step has the counter.
  [[nodiscard]] bool has(Counter counter) const;

  /// Calls use(i, sums) for each of the windows, shortest first, that end with the newest step: of
  /// the steps that lie in (newest − lengths_ms[i], newest] as a whole.
  template <class Use>
  void windows(std::span<const std::int64_t> lengths_ms, Use use) const {
    StepSums sums;
    std::size_t step = steps_.size();
    for (std::size_t i = 0; i < lengths_ms.size(); ++i) {
      while (step > 0 && steps_[step - 1].from_ms >= steps_.back().to_ms - lengths_ms[i]) {
        add_to(sums, --step);
      }
      use(i, sums);
    }
  }

 private:
  /// A histogram's counts are kept in 16 bits each, as multiples of 2^shift: what is lost is below
  /// 1/65,000 of the largest bucket, so a percentile's rank moves by as little.
  struct Kept {
    std::int64_t from_ms, to_ms;
    std::array<std::uint8_t, kHistograms> shifts;
    PerCounter<float> counters;
  };
  [[nodiscard]] std::size_t stride() const { return bounds_[0] + bounds_[1]; }
  void keep(std::size_t i, std::size_t kind, std::span<const double> counts);
  void add_to(StepSums& sums, std::size_t i) const;
  [[nodiscard]] bool alike(std::size_t i, std::size_t k) const;
  void merge_into_next(std::size_t i);
  void erase(std::size_t i);
  void thin();

  std::vector<Kept> steps_;            ///< oldest first
  std::vector<std::uint16_t> counts_;  ///< steps × stride
  std::array<std::size_t, kHistograms> bounds_{};
};

}  // namespace optipod::aggregator
