// SPDX-License-Identifier: Apache-2.0
//
// From one request and one world to a decision: which candidates are known and how fresh, what each
// policy says, the weighted sum, the integers 0..10, the rejections. Memory only; no clock.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "extender/cluster/ledger.hpp"
#include "extender/decide/wish.hpp"
#include "extender/decide/world.hpp"
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
  /// Of more candidates with a score, the best so many keep it; the others score 0 as the worst do.
  /// kube-scheduler's decoding of our reply is the largest part of what an extender costs it.
  std::size_t most_hosts = 32;
  /// /filter leaves the best so many of more candidates, for kube-scheduler's own scorers take most
  /// of its time, and look at each. As few as it looks at itself in a small cluster (its
  /// minFeasibleNodesToFind). 0: all.
  std::size_t shortlist = 100;
};

inline constexpr std::string_view kMissingReason = "optipod: no fresh measurements";

/// One decision's input beside the world.
struct Inquiry {
  const wire::Pod& pod;
  std::span<const std::string_view> nodes;  ///< the candidates
  std::span<const WeightedPolicy> policies;
  Usage expected;
  Sensitivity sensitivity;
  std::int64_t now_ms = 0;  ///< Unix time
  bool filter = false;      ///< reasons are wanted, not scores
  bool shortlist = false;   ///< of /filter: and only the best of what has none
};

/// Buffers keep their memory from decision to decision: one a thread. [candidate] throughout.
struct Decision {
  struct Part {
    WeightedPolicy by;
    Judgement judgement;
    std::vector<double> confidence;  ///< 0 .. 1; empty: 1 in every candidate, as mostly

    [[nodiscard]] double trust_in(std::size_t i) const {
      return confidence.empty() ? 1 : confidence[i];
    }
  };

  std::vector<std::uint32_t> row;   ///< in the snapshot, or NodeTable::kUnknown
  std::vector<double> confidence;   ///< the least of the policies', 0 .. 1; empty: 1 in each
  std::vector<double> combined;     ///< weighted mean of the policies after confidence, 0 .. 1
  std::vector<std::uint8_t> score;  ///< 0 .. 10
  /// Not empty: rejected (filter only); empty when none can be.
  std::vector<std::string_view> reason;
  /// 1: not rejected, but not among the best so many either (filter only); empty when none is.
  std::vector<std::uint8_t> left_out;
  std::vector<std::uint32_t> booking;  ///< index into bookings; empty: nothing is booked
  std::vector<Booked> bookings;
  std::vector<Part> parts;
  std::size_t unknown = 0;                        ///< candidates without a row
  std::size_t policies = 0;                       ///< used of `parts`
  std::size_t fresh = 0, stale = 0, missing = 0;  ///< candidates by confidence: 1, between, 0
  std::size_t withheld = 0;  ///< rejections not pronounced because of max_reject_share
  std::size_t yielded = 0;   ///< candidates that lost their place among equals to one less booked

  std::vector<std::uint32_t> rivals;  ///< what is being chosen among

  void resize(std::size_t candidates);
  [[nodiscard]] double trust_in(std::size_t i) const {
    return confidence.empty() ? 1 : confidence[i];
  }
  [[nodiscard]] bool is_rejected(std::size_t i) const {
    return !reason.empty() && !reason[i].empty();
  }
  [[nodiscard]] std::size_t rejected() const;
  /// As the policies saw it; valid as long as `world` and the inquiry.
  [[nodiscard]] Question question(const World& world, const Inquiry& inquiry) const;
  [[nodiscard]] std::uint8_t top_score() const;  ///< 0 when there is no candidate
  /// Candidates with the best score, if that is a choice at all.
  void best(std::vector<std::uint32_t>& out) const;
};

/// Confidence in a measurement of that age.
double confidence_at(std::int64_t age_ms, const DecideOptions& options);

/// Whether /filter can reject anything at all with these settings. If not, nothing need be judged.
bool can_reject(const PolicySet& set, std::span<const WeightedPolicy> policies,
                const DecideOptions& options);

void decide(const World& world, const Ledger& ledger, const Inquiry& inquiry,
            const DecideOptions& options, Decision& out);

}  // namespace optipod::extender
