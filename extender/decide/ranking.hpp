// SPDX-License-Identifier: Apache-2.0
//
// How the candidates of one decision stand to each other.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>

namespace optipod::extender {

/// Smallest and largest of some values, at least one.
std::pair<double, double> range_of(std::span<const double> values);

/// Of two candidates the better one; by lot among equals, so that over many pods each has its turn,
/// and always the same for one pod.
class Better {
 public:
  Better(std::string_view uid, std::span<const double> combined)
      : pod_(std::hash<std::string_view>{}(uid)), combined_(combined) {}
  bool operator()(std::uint32_t a, std::uint32_t b) const {
    if (combined_[a] != combined_[b]) return combined_[a] > combined_[b];
    return lot(a) < lot(b);
  }

 private:
  [[nodiscard]] std::uint64_t lot(std::uint32_t candidate) const {
    std::uint64_t x = pod_ ^ (candidate * 0x9e3779b97f4a7c15ULL);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;  // the finalizer of splitmix64
    return x ^ (x >> 31);
  }

  std::uint64_t pod_;
  std::span<const double> combined_;
};

}  // namespace optipod::extender
