// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "aggregator/discovery/source.hpp"

namespace optipod::aggregator {

/// Asks for a whole list again and again, on a thread of its own: at once, then every `interval`,
/// sooner after a failure (a second, doubling). Moments are spread by a tenth.
class PolledSource final : public Source {
 public:
  /// Blocks; returns soon after a stop is asked for. What it throws is a failure.
  using Fetch = std::function<TargetList(const std::stop_token& stop)>;
  PolledSource(std::string mechanism, std::string name, std::chrono::milliseconds interval,
               Fetch fetch);

  bool refresh(std::chrono::steady_clock::time_point now) override;

 private:
  struct Ended {
    TargetList list;
    double at = 0;  ///< Unix time
  };
  void run(const std::stop_token& stop);
  [[nodiscard]] TargetList attempt(const std::stop_token& stop) const;

  const std::chrono::milliseconds interval_;
  const Fetch fetch_;
  std::mutex mutex_;
  std::vector<Ended> ended_;  ///< not taken yet; under mutex_
  std::jthread thread_;
};

}  // namespace optipod::aggregator
