// SPDX-License-Identifier: Apache-2.0
#include "aggregator/backoff.hpp"

#include <algorithm>

namespace optipod::aggregator {

Backoff::Backoff(std::uint64_t seed, std::int64_t most)
    : most_(std::max<std::int64_t>(most, 0)),
      random_(static_cast<std::minstd_rand::result_type>(seed)) {}

void Backoff::succeeded() {
  failures_ = 0;
  left_ = 0;
}

void Backoff::failed() {
  constexpr int kFree = 3;
  constexpr int kDoublings = 20;
  if (++failures_ <= kFree) return;
  const std::int64_t doubled = std::int64_t{1} << std::min(failures_ - kFree - 1, kDoublings);
  const std::int64_t whole = std::min(doubled, most_);
  left_ = std::uniform_int_distribution<std::int64_t>((whole + 1) / 2, whole)(random_);
}

}  // namespace optipod::aggregator
