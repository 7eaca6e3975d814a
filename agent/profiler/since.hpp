// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace optipod::agent {

/// What has happened since a first value was seen; never goes backwards, whatever the kernel's
/// counter does.
class Since {
 public:
  void start_at_zero() { base_ = 0; }
  std::uint64_t operator()(std::uint64_t now) {
    if (!base_) base_ = now;
    if (now > *base_ && now - *base_ > risen_) risen_ = now - *base_;
    return risen_;
  }

 private:
  std::optional<std::uint64_t> base_;
  std::uint64_t risen_ = 0;
};

}  // namespace optipod::agent
