// SPDX-License-Identifier: Apache-2.0
//
// Amounts of the resources that pods ask for and nodes have.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace optipod::extender::wire {

/// CPUs, bytes, pods, bytes, then the extended resources in the order of ResourceNames.
enum Resource : std::size_t { kCpu, kMemory, kPods, kEphemeralStorage, kFirstExtended };
inline constexpr std::size_t kMostResources = 8;

struct Resources {
  std::array<double, kMostResources> amount{};

  [[nodiscard]] double cpu() const { return amount[kCpu]; }
  [[nodiscard]] double memory() const { return amount[kMemory]; }
  double& operator[](std::size_t resource) { return amount[resource]; }
  double operator[](std::size_t resource) const { return amount[resource]; }
  Resources& operator+=(const Resources& more) {
    for (std::size_t r = 0; r < kMostResources; ++r) amount[r] += more.amount[r];
    return *this;
  }
  Resources& operator-=(const Resources& less) {
    for (std::size_t r = 0; r < kMostResources; ++r) amount[r] -= less.amount[r];
    return *this;
  }
  bool operator==(const Resources&) const = default;
};

/// Which Kubernetes resource names are kept, and where. All others are not looked at, so that
/// memory per pod and node is fixed.
class ResourceNames {
 public:
  /// `extended`: at most kMostResources - kFirstExtended; what is beyond is left out.
  explicit ResourceNames(std::vector<std::string> extended = {"nvidia.com/gpu"});

  /// Position in Resources.
  [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const;
  [[nodiscard]] std::size_t size() const { return names_.size(); }
  [[nodiscard]] const std::string& operator[](std::size_t resource) const {
    return names_[resource];
  }

 private:
  std::vector<std::string> names_;
};

}  // namespace optipod::extender::wire
