// SPDX-License-Identifier: Apache-2.0
//
// What a policy is: a pure function from the candidates' measurements and the pod to one score a
// candidate. No I/O, clock, lock or state: the same question has the same answer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "extender/cluster/signals.hpp"
#include "extender/wire/request.hpp"

namespace optipod::extender {

/// One decision's input.
class Question {
 public:
  Question(const wire::Pod& asked, std::size_t candidates) : pod(asked), size(candidates) {}

  const wire::Pod& pod;
  std::size_t size;  ///< candidates

  /// `size` values in the unit of docs/metrics.md §2; NaN where the candidate has none that is
  /// young enough. Only the signals of needs().
  [[nodiscard]] std::span<const double> operator[](Signal s) const { return columns_[index(s)]; }
  void set(Signal s, std::span<const double> column) { columns_[index(s)] = column; }

 private:
  std::array<std::span<const double>, kSignals> columns_;
};

/// One decision's output; reused from decision to decision. Policies fill it in.
struct Judgement {
  /// [candidate]: 0 (worst) .. 1 (best); NaN: nothing is known, no opinion.
  std::vector<double> score;
  /// [candidate]: the policy would rather not have the pod there at all. Taken for an answer only
  /// by /filter, from fresh data, and up to --max-reject-share.
  std::vector<std::uint8_t> reject;
  /// What made the score, for /explain: shares lost, 0 .. 1. At most kMaxLosses.
  struct Loss {
    std::string_view name;
    std::vector<double> share;  // [candidate]
  };
  std::vector<Loss> losses;

  /// Sizes everything for `candidates`, without an opinion, with the named losses at 0.
  void reset(std::size_t candidates, std::span<const std::string_view> loss_names);
};

class Policy {
 public:
  virtual ~Policy() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// The signals that score() reads.
  [[nodiscard]] virtual SignalSet needs() const = 0;
  /// Thread-safe.
  virtual void judge(const Question& question, Judgement& out) const = 0;
  /// Whether judge() may set `reject`, and the constant text for the FailedScheduling event then.
  [[nodiscard]] virtual bool rejects() const { return false; }
  [[nodiscard]] virtual std::string_view reject_reason() const { return {}; }
};

}  // namespace optipod::extender
