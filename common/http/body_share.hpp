// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

namespace optipod::http {

/// What one connection has of the memory that the large bodies of all may take together. Bodies up
/// to kFree do not count, so that others' large ones never keep a small request out.
class BodyShare {
 public:
  static constexpr std::size_t kFree = 1024 * 1024;

  /// `total` must outlive it; `most` 0: no limit.
  BodyShare(std::atomic<std::size_t>& total, std::size_t most) : total_(total), most_(most) {}
  ~BodyShare() { hold(0); }
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;

  /// The body takes so many bytes now; false: more than all may.
  bool hold(std::size_t body_bytes) {
    const std::size_t counts = body_bytes > kFree ? body_bytes - kFree : 0;
    if (counts == held_) return true;
    const std::size_t before = total_.fetch_add(counts - held_, std::memory_order_relaxed);
    const bool grown = counts > held_;
    const std::size_t after = before + (counts - held_);
    held_ = counts;
    return !grown || most_ == 0 || after <= most_;
  }

 private:
  std::atomic<std::size_t>& total_;
  const std::size_t most_;
  std::size_t held_ = 0;
};

}  // namespace optipod::http
