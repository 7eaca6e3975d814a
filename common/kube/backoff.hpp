// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace optipod::kube {

/// Waiting times that double, each shortened at random by up to a half, so that many clients of a
/// server that comes back do not come back at once.
class Backoff {
 public:
  using Time = std::chrono::milliseconds;
  Backoff(Time min, Time max) : min_(min), max_(std::max(min, max)), next_(min) {}

  void reset() { next_ = min_; }
  /// `at_least`: what the server asked for; the maximum holds all the same.
  template <class Random>
  Time next(Random& random, Time at_least = {}) {
    const Time whole = next_;
    next_ = std::min(2 * next_, max_);
    std::uniform_int_distribution<Time::rep> share(whole.count() / 2, whole.count());
    return std::clamp(Time(share(random)), std::min(at_least, max_), max_);
  }

 private:
  Time min_, max_, next_;
};

}  // namespace optipod::kube
