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
/// A Cell{} is empty. Only the newest bucket is one: the others are kept as Closed, which is made
/// of a Cell and makes one. Not thread-safe.
template <class Cell, std::size_t kBuckets, std::int64_t kWidthMs, class Closed = Cell>
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
    if (newest_ == kNone || bucket - newest_ > kClosed) {
      clear();
      newest_ = bucket;
    }
    while (newest_ < bucket) {
      closed_[slot(newest_++)] = Closed(open_);
      open_ = Cell{};
    }
    return {open_, newest_ * kWidthMs};
  }

  /// Calls use(cell, start_ms, share) for each bucket of the window (time_ms − length_ms, time_ms],
  /// oldest first, empty ones too. `share` (0, 1] is how much of the bucket's width lies behind the
  /// window's begin. `length_ms` is at most kSpanMs. What is newer than `time_ms` counts too.
  template <class Use>
  void each(std::int64_t time_ms, std::int64_t length_ms, Use use) const {
    if (newest_ == kNone) return;
    const std::int64_t since = time_ms - length_ms;
    const std::int64_t oldest = newest_ - kClosed;
    const std::int64_t first = std::max(oldest, bucket_of(since + 1));
    std::size_t at = slot(first);
    for (std::int64_t k = first; k <= newest_; ++k) {
      const std::int64_t inside = std::min(kWidthMs, (k + 1) * kWidthMs - since);
      use(k == newest_ ? open_ : Cell(closed_[at]), k * kWidthMs,
          static_cast<double>(inside) / static_cast<double>(kWidthMs));
      at = at + 1 == kBuckets ? 0 : at + 1;
    }
  }

  /// The same in parts, for who remembers what the buckets between say, which changes only when
  /// another becomes the newest: each window that ends in the newest bucket has the kBuckets' last
  /// `length / kWidthMs - 1` as a whole, and a share of the one before them.
  [[nodiscard]] std::int64_t newest() const { return newest_; }  ///< kNone: nothing is there
  [[nodiscard]] bool ends_in_newest(std::int64_t time_ms) const {
    return newest_ != kNone && bucket_of(time_ms) == newest_;
  }
  [[nodiscard]] const Cell& open() const { return open_; }
  /// Of the bucket `back` (1 to kBuckets) before the newest.
  [[nodiscard]] Cell closed(std::int64_t back) const { return Cell(closed_[slot(newest_ - back)]); }
  /// How much of that bucket lies behind `since_ms`: [0, 1].
  [[nodiscard]] double share(std::int64_t back, std::int64_t since_ms) const {
    const std::int64_t inside = (newest_ - back + 1) * kWidthMs - since_ms;
    return static_cast<double>(std::clamp(inside, std::int64_t{0}, kWidthMs)) /
           static_cast<double>(kWidthMs);
  }
  /// Calls use(cell) for the `count` buckets before the newest, newest first.
  template <class Use>
  void each_closed(std::int64_t count, Use use) const {
    std::size_t at = slot(newest_);
    for (std::int64_t k = 0; k < count; ++k) {
      at = at == 0 ? kBuckets - 1 : at - 1;
      use(Cell(closed_[at]));
    }
  }

  void clear() {
    closed_.fill(Closed(Cell{}));
    open_ = Cell{};
    newest_ = kNone;
  }

  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min();

 private:
  static constexpr auto kClosed = static_cast<std::int64_t>(kBuckets);

  static constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
  }
  static constexpr std::int64_t bucket_of(std::int64_t time_ms) {
    return floor_div(time_ms - 1, kWidthMs);
  }
  static constexpr std::size_t slot(std::int64_t bucket) {
    return static_cast<std::size_t>(bucket - floor_div(bucket, kClosed) * kClosed);
  }

  std::int64_t newest_ = kNone;
  Cell open_{};  ///< of the newest bucket
  std::array<Closed, kBuckets> closed_{};
};

}  // namespace optipod::aggregator
