// SPDX-License-Identifier: Apache-2.0
//
// The last five minutes of a node as increases from sample to sample, the finer the newer: what its
// windows of seconds to minutes are summed from. About 2 KiB a node at a sample every 5 s.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

/// Counts of one histogram, per bucket, not cumulative.
struct Buckets {
  std::array<double, kMaxBounds> counts;  ///< the first `size` are set
  std::size_t size = 0;

  [[nodiscard]] std::span<const double> all() const { return std::span(counts).first(size); }
};

/// Increases between two samples. No bound or counter of it is negative.
struct Step {
  std::int64_t from_ms = 0, to_ms = 0;
  PerCounter<float> counters;
  std::array<Buckets, kHistograms> buckets;  ///< as many as the histogram has bounds
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
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  /// Whether the newest step has the counter.
  [[nodiscard]] bool has(Counter counter) const;

  /// Calls use(i, sums) for each of the windows, shortest first, that end with the newest step: of
  /// the steps that lie in (newest − lengths_ms[i], newest] as a whole.
  template <class Use>
  void windows(std::span<const std::int64_t> lengths_ms, Use use) const {
    StepSums sums;
    const auto places = find();
    std::size_t step = size_;
    std::int64_t behind_ms = 0;  // from the begin of the last step that was added to the end
    for (std::size_t i = 0; i < lengths_ms.size(); ++i) {
      while (step > 0 && behind_ms + length_ms(places[step - 1]) <= lengths_ms[i]) {
        behind_ms += length_ms(places[--step]);
        add_to(sums, places[step]);
      }
      use(i, sums);
    }
  }

 private:
  // A step as it is kept, in units of 16 bits: its length in ms and its units, in one number (2),
  // its counters (2 each), the shifts of both histograms (1), a bit a bucket for those that are not
  // empty, and these buckets. A histogram's counts are multiples of 2^shift: what is lost is below
  // 1/65,000 of the largest bucket, so a percentile's rank moves by as little. Most buckets of a
  // few seconds are empty.
  static constexpr std::size_t kCountersAt = 2, kShiftsAt = kCountersAt + 2 * kCounters,
                               kMaskAt = kShiftsAt + 1;
  static constexpr unsigned kLengthBits = 20;  ///< of the first number
  static constexpr std::size_t kMostUnits =
      kMaskAt + kHistograms * kMaxBounds / 16 + kHistograms * kMaxBounds;
  using Place = std::size_t;  ///< of a step in kept_
  using Counts = std::array<std::span<const double>, kHistograms>;
  struct Encoded {
    std::array<std::uint16_t, kMostUnits> units;
    std::size_t size;
  };

  [[nodiscard]] std::size_t mask_units() const { return (bounds_[0] + bounds_[1] + 15U) / 16U; }
  [[nodiscard]] std::array<Place, kMaxSteps + 1> find() const;
  [[nodiscard]] std::uint32_t head(Place step) const {
    std::uint32_t head = 0;
    std::memcpy(&head, &kept_[step], sizeof head);
    return head;
  }
  [[nodiscard]] std::size_t units(Place step) const { return head(step) >> kLengthBits; }
  [[nodiscard]] std::int64_t length_ms(Place step) const {
    return head(step) & ((1U << kLengthBits) - 1);
  }
  [[nodiscard]] float kept_counter(Place step, std::size_t c) const {
    float value = 0;
    std::memcpy(&value, &kept_[step + kCountersAt + 2 * c], sizeof value);
    return value;
  }
  [[nodiscard]] Encoded encode(std::int64_t length_ms, const PerCounter<float>& counters,
                               const Counts& buckets) const;
  void add_to(StepSums& sums, Place step) const;
  [[nodiscard]] bool alike(Place a, Place b) const;
  void merge_with_next(Place step);
  std::int64_t drop_old();
  void thin();

  std::vector<std::uint16_t> kept_;  ///< oldest first
  std::int64_t newest_ms_ = 0;       ///< where the newest ends; each ends where the next begins
  std::uint16_t newest_ = 0;         ///< its place
  std::array<std::uint8_t, kHistograms> bounds_{};
  std::uint8_t size_ = 0;
};

}  // namespace optipod::aggregator
