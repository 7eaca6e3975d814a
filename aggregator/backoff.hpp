// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>

namespace optipod::aggregator {

/// How many intervals a failing target is left alone: none after the first few failures, as an
/// exporter that restarts fails them, then twice as many each time, shortened at random by up to a
/// half so that many do not come back at once.
/// Not thread-safe.
class Backoff {
 public:
  /// `most`: intervals; below 1: none are left out.
  Backoff(std::uint64_t seed, std::int64_t most);
  void succeeded();
  void failed();
  /// Of an interval that begins: whether it is one of them.
  bool leave_out() { return left_ > 0 && left_-- > 0; }

 private:
  const std::int64_t most_;
  std::minstd_rand random_;
  int failures_ = 0;
  std::int64_t left_ = 0;
};

}  // namespace optipod::aggregator
