// SPDX-License-Identifier: Apache-2.0
//
// A window of fixed memory: the last kBuckets × kWidthMs in cells of one width.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace optipod::aggregator {

/// Bucket k holds what lies in (k·w, (k+1)·w], w being the width: left-open, as PromQL's ranges
/// are. One cell more than the window has buckets, because it seldom begins on a bucket's edge.
/// A Cell{} is empty. Not thread-safe.
template <class Cell, std::size_t kBuckets, std::int64_t kWidthMs>
class TimeBuckets {
 public:
  static constexpr std::int64_t kSpanMs = static_cast<std::int64_t>(kBuckets) * kWidthMs;

  struct Place {
    Cell& cell;
    std::int64_t start_ms;  ///< of its bucket
  };

  /// Where something of that time belongs; forgets what no longer fits. A time before the newest
  /// bucket counts in that one: who lets time go back further clears.
  Place at(std::int64_t time_ms) {
    const std::int64_t bucket = bucket_of(time_ms);
    if (newest_ == kNone || bucket - newest_ > static_cast<std::int64_t>(kBuckets)) {
      cells_.fill(Cell{});
      newest_ = bucket;
    }
    while (newest_ < bucket) cells_[slot(++newest_)] = Cell{};
    return {cells_[slot(newest_)], newest_ * kWidthMs};
  }

  /// Calls use(cell, start_ms, share) for each bucket of the window (time_ms − length_ms, time_ms],
  /// oldest first, empty ones too. `share` (0, 1] is how much of the bucket's width lies behind the
  /// window's begin. `length_ms` is at most kSpanMs. What is newer than `time_ms` counts too.
  template <class Use>
  void each(std::int64_t time_ms, std::int64_t length_ms, Use use) const {
    if (newest_ == kNone) return;
    const std::int64_t since = time_ms - length_ms;
    const std::int64_t oldest = newest_ - static_cast<std::int64_t>(kBuckets);
    for (std::int64_t k = std::max(oldest, bucket_of(since + 1)); k <= newest_; ++k) {
      const std::int64_t inside = std::min(kWidthMs, (k + 1) * kWidthMs - since);
      use(cells_[slot(k)], k * kWidthMs,
          static_cast<double>(inside) / static_cast<double>(kWidthMs));
    }
  }

  void clear() {
    cells_.fill(Cell{});
    newest_ = kNone;
  }

 private:
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kCells = static_cast<std::int64_t>(kBuckets) + 1;

  static constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
  }
  static constexpr std::int64_t bucket_of(std::int64_t time_ms) {
    return floor_div(time_ms - 1, kWidthMs);
  }
  static constexpr std::size_t slot(std::int64_t bucket) {
    return static_cast<std::size_t>(bucket - floor_div(bucket, kCells) * kCells);
  }

  std::int64_t newest_ = kNone;
  std::array<Cell, static_cast<std::size_t>(kCells)> cells_{};
};

}  // namespace optipod::aggregator
