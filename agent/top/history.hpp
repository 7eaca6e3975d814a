// SPDX-License-Identifier: Apache-2.0
//
// The samples that a live view has seen, so that it can step back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "agent/top/model.hpp"

namespace optipod::top {

/// Keeps the newest samples: an hour's worth of seconds, or less where they fill `max_bytes`.
class History final : public Timeline {
 public:
  static constexpr std::size_t kMaxSamples = 3600;
  static constexpr std::size_t kMaxBytes = 64u << 20;

  explicit History(std::size_t max_samples = kMaxSamples, std::size_t max_bytes = kMaxBytes)
      : max_samples_(max_samples), max_bytes_(max_bytes) {}

  void add(Sample sample);

  [[nodiscard]] std::uint64_t begin() const override { return begin_; }
  [[nodiscard]] std::uint64_t end() const override { return begin_ + samples_.size(); }
  SamplePtr at(std::uint64_t number) override;

 private:
  std::size_t max_samples_, max_bytes_;
  std::deque<SamplePtr> samples_;
  std::uint64_t begin_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace optipod::top
