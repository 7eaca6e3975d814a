// SPDX-License-Identifier: Apache-2.0
//
// The last decisions, for /explain: bounded in number and in candidates each.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "extender/decide/engine.hpp"

namespace optipod::extender {

/// What /explain tells about one request. Names of policies and terms live as long as the program.
/// A decision waits until its record is made, so that is a handful of allocations, whatever the
/// number of candidates.
struct Record {
  struct Opinion {
    double score = 0;       ///< before confidence; NaN: none
    double confidence = 0;  ///< in it
    std::array<double, Policy::kMaxTerms> terms{};
  };
  struct Measured {
    float value;  ///< NaN: none
    std::int32_t age_ms;
  };
  struct Candidate {
    std::uint32_t node_at, node_size;  ///< in node_names
    std::int64_t oldest_ms;            ///< age of the oldest value used; -1: nothing known
    double confidence, combined;
    std::uint8_t score;
    Usage booked;
    std::string_view reason;  ///< constant text
    bool left_out = false;    ///< by the shortlist
  };
  struct PolicyUsed {
    std::string_view name;
    double weight = 1;
    std::vector<std::string_view> terms;
  };

  std::string verb, name_space, name, uid;
  std::int64_t at_ms = 0;
  wire::Resources requests;
  Usage expected;
  bool learned = false;  ///< `expected` is what its workload used, else usage_of() `requests`
  std::vector<std::string> problems;
  std::vector<PolicyUsed> policies;
  std::size_t candidates_total = 0, fresh = 0, stale = 0, missing = 0, rejected = 0, withheld = 0,
              yielded = 0, left_out = 0;
  std::size_t shortlisted_of = 0;  ///< candidates that /filter chose these from; 0: it did not
  std::size_t equals = 0;          ///< candidates with the best score

  std::vector<Candidate> candidates;  ///< best first; at most the ring's number
  std::string node_names;             ///< theirs, one behind the other
  std::vector<Signal> signals;        ///< that the policies rest on
  std::vector<Measured> measured;     ///< [candidate × signals.size() + signal]
  std::vector<Opinion> opinions;      ///< [candidate × policies.size() + policy]

  [[nodiscard]] std::string_view node(std::size_t candidate) const {
    const Candidate& c = candidates[candidate];
    return std::string_view(node_names).substr(c.node_at, c.node_size);
  }
};

/// Copies the `most` best candidates of a decision (all, when they are no more).
std::shared_ptr<Record> make_record(std::string_view verb, const World& world,
                                    const Inquiry& inquiry, const Decision& decision,
                                    std::size_t most);

/// A decision and what became of it.
struct Remembered {
  std::shared_ptr<const Record> record;
  std::string bound_to;          ///< "": not seen yet
  std::int64_t bound_at_ms = 0;  ///< when it was seen
};

/// Thread-safe; the lock is held for pointers only.
class Records {
 public:
  using Ticket = std::uint64_t;

  /// `patience`: how long find() waits; making a record takes some microseconds.
  explicit Records(std::size_t capacity,
                   std::chrono::milliseconds patience = std::chrono::milliseconds(100))
      : capacity_(capacity), patience_(patience) {}
  [[nodiscard]] bool keeps_any() const { return capacity_ != 0; }
  /// A decision about the pod of this uid was made; its record is still to be, and add() with the
  /// ticket must follow soon. Its place in the ring is here, and a binding seen meanwhile is noted.
  Ticket announce(std::string_view uid);
  /// The announced record; null: there will be none.
  void add(Ticket ticket, std::shared_ptr<const Record> record);
  void add(std::shared_ptr<const Record> record);
  /// The watch saw the pod bound: completes its decisions, of which the last `kRecent` are looked
  /// at.
  void bound(std::string_view uid, std::string_view node, std::int64_t now_ms);
  /// Newest first; `pod` is "namespace/name" or a uid, "" matches all. Waits a moment for what has
  /// been announced: who has had an answer finds its decision.
  [[nodiscard]] std::vector<Remembered> find(std::string_view pod, std::size_t limit) const;

  static constexpr std::size_t kRecent = 2'048;

 private:
  struct Kept {
    /// Of the pod's uid. Each binding is looked for in all of them, and most records are not worth
    /// a look: they lie anywhere in memory.
    std::size_t uid_hash = 0;
    Remembered decision;  ///< record null: it is being made, or there is none
  };

  const std::size_t capacity_;
  const std::chrono::milliseconds patience_;
  mutable std::mutex mutex_;
  mutable std::condition_variable made_;
  std::deque<Kept> ring_;        // these under mutex_; capacity_ and what is announced, at most
  Ticket first_ = 0;             // of the ring's front
  std::vector<Ticket> pending_;  // announced
};

/// Where the pod went, among the record's candidates; none: not seen, or not one of these.
std::optional<std::size_t> find_bound(const Remembered& remembered);

/// The decision, and what became of it, in a sentence.
std::string summary(const Remembered& remembered);

/// {"decisions":[…]}, docs/policies.md describes it; in pieces of a decision each, as hundreds take
/// as long to render as a hundred answers. Not thread-safe.
class Explanation {
 public:
  explicit Explanation(std::vector<Remembered> decisions) : decisions_(std::move(decisions)) {}
  /// Replaces `piece` by the next; whether there is more behind it.
  bool next(std::string& piece);

 private:
  std::vector<Remembered> decisions_;
  std::size_t told_ = 0;
};

/// All of it.
std::string explain_json(std::vector<Remembered> decisions);

}  // namespace optipod::extender
