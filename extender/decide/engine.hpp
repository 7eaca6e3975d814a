// SPDX-License-Identifier: Apache-2.0
//
// From one request and one snapshot to a decision: which candidates are known and how fresh, what
// each policy says, the weighted sum, the integers 0..10, the rejections. Pure; memory only.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "extender/cluster/snapshot.hpp"
#include "extender/policies/policy.hpp"
#include "extender/wire/request.hpp"

namespace optipod::extender {

enum class OnMissing : std::uint8_t {
  kNeutral,  ///< scored as the mean of the candidates that are known
  kAvoid,    ///< scored as the worst of them
  kReject,   ///< rejected by /filter, up to max_reject_share; scored as kAvoid
};

struct DecideOptions {
  /// Confidence in a measurement is 1 up to this age and falls linearly to 0 at expire_after_ms.
  std::int64_t fresh_for_ms = 5'000, expire_after_ms = 30'000;
  OnMissing on_missing = OnMissing::kNeutral;
  double max_reject_share = 0.5;  ///< of a request's candidates
  /// Best and worst closer than this are equal: all score 0.
  double dead_band = 0.02;
  /// Best and worst at least this far apart get the full 10 and 0; nearer ones a part of it, so
  /// that noise between equally calm nodes is not blown up.
  double full_spread = 0.2;
};

struct WeightedPolicy {
  const Policy* policy = nullptr;
  double weight = 1;
};

inline constexpr std::string_view kMissingReason = "optipod: no fresh measurements";

/// Buffers keep their memory from decision to decision: one a thread. [candidate] throughout.
struct Decision {
  std::vector<std::uint32_t> row;    ///< in the snapshot, or NodeTable::kUnknown
  std::vector<std::int64_t> age_ms;  ///< of the oldest signal used; -1: none
  std::vector<double> confidence;    ///< 0 .. 1
  std::vector<double> combined;      ///< weighted mean of the policies after confidence, 0 .. 1
  std::vector<std::uint8_t> score;   ///< 0 .. 10
  std::vector<std::string_view>
      reason;  ///< not empty: rejected (filter only); empty when none can be
  struct Part {
    WeightedPolicy by;
    Judgement judgement;
  };
  std::vector<Part> parts;
  std::size_t policies = 0;  ///< used of `parts`
  SignalSet used;
  std::size_t fresh = 0, stale = 0, missing = 0;  ///< candidates by confidence: 1, between, 0
  std::size_t withheld = 0;  ///< rejections not pronounced because of max_reject_share

  std::vector<std::vector<double>> columns;  // gathered, per signal

  void resize(std::size_t candidates);
};

/// Confidence in a measurement of that age.
double confidence_at(std::int64_t age_ms, const DecideOptions& options);

/// Whether /filter can reject anything at all with these settings. If not, nothing need be judged.
bool can_reject(std::span<const WeightedPolicy> policies, const DecideOptions& options);

/// Judges `args.node_names`. `now_ms` is Unix time. With `filter`, sets reasons instead of scores.
void decide(const Snapshot& snapshot, const wire::Args& args, std::int64_t now_ms,
            std::span<const WeightedPolicy> policies, const DecideOptions& options, bool filter,
            Decision& out);

}  // namespace optipod::extender
