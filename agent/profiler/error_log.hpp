// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace optipod::agent {

/// Counts what failed, and says so in the log: the first at once, then at most one a minute with
/// the number of those left unsaid, so that an error of every tick does not fill a disk. One
/// thread.
class ErrorLog {
 public:
  using Clock = std::chrono::steady_clock;

  void add(std::string_view what, Clock::time_point now = Clock::now());
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  std::uint64_t count_ = 0, unsaid_ = 0;
  std::optional<Clock::time_point> said_;
};

}  // namespace optipod::agent
