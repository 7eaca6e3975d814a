// SPDX-License-Identifier: Apache-2.0
//
// When targets are asked: each at its own moment of its interval, the same in every process, so
// that a cluster's load is even; but many at one moment, since to wake for each alone costs more
// than to ask it.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string_view>

namespace optipod::aggregator {

/// The thread that asks a target, of all that there are.
struct ScrapeThread {
  unsigned number = 0, of = 1;
};

/// Every interval, this long after multiples of it by the steady clock.
struct Moment {
  std::chrono::nanoseconds interval{}, offset{};

  /// The first after `now`; `now` is later than the clock's start by an interval at least.
  [[nodiscard]] std::chrono::steady_clock::time_point next(
      std::chrono::steady_clock::time_point now) const;
  friend auto operator<=>(const Moment&, const Moment&) = default;
};

/// 100 ms, or a fiftieth of the interval where that is less: how far moments are apart.
std::chrono::nanoseconds tick_of(std::chrono::nanoseconds interval);

/// The moment of who has that name. A thread's moments are `thread.of` ticks apart, and the threads
/// take turns, tick by tick.
Moment moment_of(std::string_view name, std::chrono::nanoseconds interval, ScrapeThread thread);

/// FNV-1a: the same in every process.
std::uint64_t stable_hash(std::string_view text);

}  // namespace optipod::aggregator
