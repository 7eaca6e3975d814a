// SPDX-License-Identifier: Apache-2.0
//
// Mean, deviation, peak and trend of one quantity over up to a day, from buckets of moments rather
// than stored samples: what PromQL's avg_, stddev_ and max_over_time give over the
// same samples, to within a bucket's width.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "aggregator/time_buckets.hpp"

namespace optipod::aggregator {

/// Samples of one bucket, each weighted by the seconds that it stands for: a scrape that was missed
/// does not make its neighbours count less time. Where all stand for the same time, as a steady
/// scraper's do, that is PromQL's weighting. No term is ever negative, so no variance is.
struct Moments {
  float seconds = 0;   ///< sum of the weights; 0: empty
  float mean = 0;      ///< of the values
  float scatter = 0;   ///< sum of weight × squared distance from the mean
  float peak = 0;      ///< largest value
  float centre_s = 0;  ///< mean time of the samples, seconds from the bucket's start

  /// A value that stands for `weight` > 0 seconds and was measured `at_s` behind the bucket's
  /// start.
  void add(double at_s, double weight, double value);
};

/// Moments of values in 0..1 that get no more samples, in 10 bytes: mean and peak to a millionth,
/// the weight to a 3,750th of the bucket's width, the mean time to a 2,048th of it, the scatter to
/// 11 bits of mantissa; a deviation below 2e-5 is none. What adds up all the time would lose more
/// by that.
template <std::int64_t kWidthMs>
class PackedMoments {
 public:
  PackedMoments() = default;
  explicit PackedMoments(const Moments& moments);
  explicit operator Moments() const;

 private:
  std::array<std::uint16_t, 5> bits_{};
};

/// A window of a quantity.
struct WindowMoments {
  double mean = 0;
  double stddev = 0;  ///< of the population, as PromQL's
  double peak = 0;
  double covered = 0;  ///< 0..1: share of the window that its samples stand for
};

/// What moments say together: of a whole, from its parts.
struct MomentSums {
  double seconds = 0, mean = 0, scatter = 0, peak = 0;  ///< as those of Moments

  /// Adds a `share` of a bucket; its peak as a whole.
  void add(const Moments& more, double share = 1);
};

/// The last day of one quantity, which is a share: 0..1. 1 KB, never more; not thread-safe.
class Trend {
 public:
  static constexpr std::int64_t kMinuteMs = 60'000, kHourMs = 60 * kMinuteMs;
  static constexpr std::int64_t kFineMs = kMinuteMs, kCoarseMs = kHourMs;
  static constexpr std::int64_t kHorizonMs = 15 * kMinuteMs;

  /// `value` is in 0..1 and stands for `seconds` > 0 until `time_ms`, when it was measured. A time
  /// that goes back counts as the newest.
  void add(std::int64_t time_ms, double seconds, double value);
  void clear();

  /// The window (time_ms − length_ms, time_ms]; `time_ms` is not before the newest sample.
  /// Buckets: a minute up to an hour, an hour up to 24 h. Of the bucket in which the window
  /// begins, the share inside counts; its peak counts whole. Absent without a sample.
  [[nodiscard]] std::optional<WindowMoments> over(std::int64_t time_ms,
                                                  std::int64_t length_ms) const;

  /// What the value is expected to be kHorizonMs behind `time_ms`: the present level, moved on by
  /// the trend of the last hour, which dies away. Both are medians of minutes that are over, found
  /// when the next one begins, so that a burst of a few minutes moves neither:
  /// - trend: median of the slopes from each minute's mean to that of the minute half an hour's
  ///   minutes later (Theil's incomplete method; holds while less than a quarter of the hour is
  ///   off);
  /// - level: median, over the last 15 of them, of the means moved along the trend to `time_ms`;
  /// - the trend of each further minute counts 0.9 of the one before (Gardner's damped trend), so
  /// that
  ///   15 minutes ahead count as 7.1.
  /// Absent while the hour's samples stand for less than kHorizonMs: nobody sees further ahead than
  /// behind.
  [[nodiscard]] std::optional<double> forecast(std::int64_t time_ms) const;

 private:
  using Fine = TimeBuckets<Moments, 60, kFineMs, PackedMoments<kFineMs>>;
  using Coarse = TimeBuckets<Moments, 24, kCoarseMs, PackedMoments<kCoarseMs>>;
  enum Window : std::size_t { kQuarterHour, kHour, kDay, kWindows };
  static constexpr std::array<std::int64_t, kWindows> kLengthMs{15 * kMinuteMs, kHourMs,
                                                                24 * kHourMs};
  /// What forecasts begin with: both medians, at the newest minute's begin.
  struct Outlook {
    float level = 0, per_second = 0;
  };
  [[nodiscard]] Outlook look_ahead() const;
  [[nodiscard]] MomentSums sums(std::int64_t time_ms, std::int64_t length_ms) const;

  Fine fine_;
  Coarse coarse_;
  /// Of the closed buckets that lie in a window as a whole: a dozen scrapes have them in common.
  std::array<Moments, kWindows> whole_{};
  Outlook outlook_;
};

/// The largest of a quantity over the last hour, in buckets of a minute. 264 bytes.
class Peak {
 public:
  void add(std::int64_t time_ms, double value);
  void clear() {
    buckets_.clear();
    closed_ = Cell{}.peak;
  }
  [[nodiscard]] std::optional<double> over_hour(std::int64_t time_ms) const;

 private:
  struct Cell {
    float peak = -1;  ///< below 0: empty
  };
  TimeBuckets<Cell, 60, Trend::kMinuteMs> buckets_;
  float closed_ = Cell{}.peak;  ///< of all closed buckets but the oldest
};

}  // namespace optipod::aggregator
