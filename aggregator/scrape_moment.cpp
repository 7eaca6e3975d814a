// SPDX-License-Identifier: Apache-2.0
#include "aggregator/scrape_moment.hpp"

#include <algorithm>

namespace optipod::aggregator {

std::chrono::steady_clock::time_point Moment::next(
    std::chrono::steady_clock::time_point now) const {
  const auto since = now.time_since_epoch() - offset;
  return std::chrono::steady_clock::time_point(offset + (since / interval + 1) * interval);
}

std::chrono::nanoseconds tick_of(std::chrono::nanoseconds interval) {
  constexpr std::chrono::nanoseconds kMost = std::chrono::milliseconds(100);
  return std::max(std::min(kMost, interval / 50), std::chrono::nanoseconds(1));
}

Moment moment_of(std::string_view name, std::chrono::nanoseconds interval, ScrapeThread thread) {
  const std::chrono::nanoseconds tick = tick_of(interval);
  const std::chrono::nanoseconds anywhere(stable_hash(name) %
                                          static_cast<std::uint64_t>(interval.count()));
  return {interval, anywhere - anywhere % (tick * thread.of) + tick * thread.number};
}

std::uint64_t stable_hash(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return h ^ (h >> 29);
}

}  // namespace optipod::aggregator
