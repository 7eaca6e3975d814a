// SPDX-License-Identifier: Apache-2.0
//
// What pods of each workload really use: the profile by which the next pod of it is expected.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "extender/cluster/usage.hpp"
#include "extender/wire/resources.hpp"

namespace optipod::extender {

/// What kube-scheduler's own scoring takes a pod for that states nothing.
inline constexpr Usage kUnstated{.cpu = 0.1, .memory = 200.0 * 1024 * 1024};

/// Requests where they are stated.
Usage usage_of(const wire::Resources& requests);

/// Workloads are told apart by a hash of wire::workload_of(); 0 is none. Thread-safe.
class Workloads {
 public:
  static constexpr std::size_t kMost = 100'000;  ///< more are not learned
  /// Weight of a new round of measurements against all before it.
  static constexpr double kLearning = 0.3;
  /// Rounds without a pod of it after which a workload is forgotten.
  static constexpr std::uint64_t kForgottenAfter = 240;

  static std::uint64_t key(std::string_view workload);

  /// Mean usage of the workload's pods in one round of measurements.
  void learn(std::uint64_t workload, const Usage& mean);
  /// A round is over: forgets what has not been learned of for long.
  void end_round();

  [[nodiscard]] std::optional<Usage> find(std::uint64_t workload) const;
  /// What is learned, else the requests, else kUnstated.
  [[nodiscard]] Usage expect(std::uint64_t workload, const wire::Resources& requests) const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Profile {
    Usage usage;
    std::uint64_t round = 0;
  };
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, Profile> profiles_;
  std::uint64_t round_ = 0;
};

}  // namespace optipod::extender
