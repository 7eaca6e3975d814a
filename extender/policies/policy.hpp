// SPDX-License-Identifier: Apache-2.0
//
// What a policy is: a pure function from a snapshot of the cluster and a pod to one score a
// candidate. No I/O, clock, lock or state: the same question has the same answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "extender/cluster/snapshot.hpp"
#include "extender/cluster/usage.hpp"
#include "extender/wire/pod.hpp"

namespace optipod::extender {

/// How much the pod suffers from each kind of waiting: 0 not at all, 1 fully. From its annotation
/// optipod.dev/profile (decide/profile.hpp).
struct Sensitivity {
  double cpu = 1, memory = 1, io = 1, network = 1;
  bool operator==(const Sensitivity&) const = default;
};

/// One decision's input. Candidates are numbered 0 .. size() - 1, in any order.
struct Question {
  const wire::Pod& pod;
  /// What the pod is expected to use: what pods of its workload really used, else its requests.
  Usage expected;
  Sensitivity sensitivity;
  const Snapshot& snapshot;
  /// [candidate]: its row in the snapshot, or NodeTable::kUnknown.
  std::span<const std::uint32_t> row;
  /// [candidate]: index into `bookings`, of which [0] is nothing; empty when nothing is booked.
  std::span<const std::uint32_t> booking;
  std::span<const Booked> bookings;

  [[nodiscard]] std::size_t size() const { return row.size(); }
  [[nodiscard]] const Booked& booked(std::size_t candidate) const {
    static constexpr Booked kNothing{};
    return booking.empty() ? kNothing : bookings[booking[candidate]];
  }
  /// NaN for a candidate that the snapshot does not know.
  [[nodiscard]] double value(Signal s, std::size_t candidate) const {
    return row[candidate] == NodeTable::kUnknown ? kMissing : snapshot.value(s)[row[candidate]];
  }
  /// Null for a candidate of which Kubernetes has said nothing.
  [[nodiscard]] const NodeFacts* facts(std::size_t candidate) const {
    const std::uint32_t r = row[candidate];
    return r == NodeTable::kUnknown || !snapshot.facts[r].known ? nullptr : &snapshot.facts[r];
  }
};

/// One decision's output; its memory is reused from decision to decision. reset() comes first, then
/// judge() fills in what it has an opinion on.
struct Judgement {
  /// [candidate]: 0 (worst) .. 1 (best); NaN: nothing is known, no opinion.
  std::vector<double> score;
  /// [candidate]: the policy would rather not have the pod there at all. Taken for an answer only
  /// by /filter, from fresh data, and up to --max-reject-share.
  std::vector<std::uint8_t> reject;
  /// Whatever judge() wants to tell explain() about this decision.
  std::vector<double> memo;

  /// Without an opinion on any of `candidates`.
  void reset(std::size_t candidates);
};

/// For a loop over candidates: fetches what is at a later one's row into the caches. Between two
/// decisions other programs have had them.
template <class Row, std::size_t kAhead = 20>
void prefetch(std::span<const Row> at, std::span<const std::uint32_t> row, std::size_t candidate) {
  constexpr std::size_t kLine = 64;
  if (candidate + kAhead >= row.size() || row[candidate + kAhead] >= at.size()) return;
  const auto* const bytes = reinterpret_cast<const char*>(&at[row[candidate + kAhead]]);
  for (std::size_t i = 0; i < sizeof(Row); i += kLine) __builtin_prefetch(bytes + i);
}

/// The same for what only a candidate needs that something is booked on: few are.
template <class Row, std::size_t kAhead = 20>
void prefetch_booked(std::span<const Row> at, const Question& question, std::size_t candidate) {
  const std::size_t later = candidate + kAhead;
  if (later >= question.booking.size() || question.booking[later] == 0) return;
  prefetch<Row, kAhead>(at, question.row, candidate);
}

/// What a policy worked out of a snapshot, once for all decisions on it: everything about a node
/// that does not depend on the pod.
class Prepared {
 public:
  Prepared() = default;
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;
  virtual ~Prepared() = default;
};

/// All member functions are thread-safe, and pure.
class Policy {
 public:
  static constexpr std::size_t kMaxTerms = 8;

  virtual ~Policy() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;

  /// The signals that scores rest on: the oldest of them is the age that a node's score has. None:
  /// the policy rests on what Kubernetes says, which has no age.
  [[nodiscard]] virtual SignalSet needs() const = 0;

  /// Whether the score of a row rests on nothing that was measured, so that it has no age and
  /// counts in full: by default where nothing is needed, and Kubernetes knows the node.
  [[nodiscard]] virtual bool ageless(const Snapshot& snapshot, std::size_t row) const {
    return needs().empty() && snapshot.facts[row].known;
  }

  /// May be null. Runs in the background, at each new snapshot.
  [[nodiscard]] virtual std::shared_ptr<const Prepared> prepare(const Snapshot& snapshot) const {
    static_cast<void>(snapshot);
    return nullptr;
  }

  /// `prepared` is what prepare() made of question.snapshot. `out` has been reset.
  virtual void judge(const Question& question, const Prepared* prepared, Judgement& out) const = 0;

  /// Names of what makes a score, for /explain: at most kMaxTerms, constant.
  [[nodiscard]] virtual std::span<const std::string_view> terms() const { return {}; }
  /// Their values for one candidate of a question that was judged: as many as terms(); NaN: none.
  virtual void explain(const Question& question, const Prepared* prepared, const Judgement& judged,
                       std::size_t candidate, std::span<double> values) const {
    static_cast<void>(question);
    static_cast<void>(prepared);
    static_cast<void>(judged);
    static_cast<void>(candidate);
    static_cast<void>(values);
  }

  /// Whether judge() may set `reject`, and the constant text for the FailedScheduling event then.
  [[nodiscard]] virtual bool rejects() const { return false; }
  [[nodiscard]] virtual std::string_view reject_reason() const { return {}; }

  /// Whether score × 10, rounded, is itself the answer where the policy is asked alone. If not, and
  /// always in a combination, scores are spread over the request's candidates.
  [[nodiscard]] virtual bool absolute() const { return false; }
};

}  // namespace optipod::extender
