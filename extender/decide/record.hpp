// SPDX-License-Identifier: Apache-2.0
//
// The last decisions, for /explain: bounded in number and in candidates each.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "extender/decide/engine.hpp"

namespace optipod::extender {

/// What /explain tells about one request. Policies live as long as the program.
struct Record {
  static constexpr std::size_t kMaxLosses = 4;

  struct Opinion {
    double score = 0;  ///< before confidence; NaN: none
    std::array<double, kMaxLosses> losses{};
  };
  struct Candidate {
    std::string node;
    std::array<float, kSignals> value{};  ///< NaN: missing or not used
    std::array<std::int32_t, kSignals> age_ms{};
    std::int64_t oldest_ms = -1;  ///< age of the oldest used; -1: nothing known
    double confidence = 0, combined = 0;
    std::uint8_t score = 0;
    std::string_view reason;        ///< constant text
    std::vector<Opinion> opinions;  ///< [policy]
  };
  struct PolicyUsed {
    std::string_view name;
    double weight = 1;
    std::vector<std::string_view> losses;
  };

  std::string verb, name_space, name, uid;
  std::int64_t at_ms = 0;
  wire::Resources requests;
  std::vector<PolicyUsed> policies;
  std::size_t candidates_total = 0, fresh = 0, stale = 0, missing = 0, rejected = 0, withheld = 0;
  std::vector<Candidate> candidates;  ///< best first; at most the ring's number
};

/// Copies the `most` best candidates of a decision (all, when they are no more).
std::shared_ptr<const Record> make_record(std::string_view verb, const Snapshot& snapshot,
                                          const wire::Args& args, const Decision& decision,
                                          std::int64_t now_ms, std::size_t most);

/// Thread-safe; the lock is held for pointers only.
class Records {
 public:
  explicit Records(std::size_t capacity) : capacity_(capacity) {}
  void add(std::shared_ptr<const Record> record);
  /// Newest first; `pod` is "namespace/name" or a uid, "" matches all.
  [[nodiscard]] std::vector<std::shared_ptr<const Record>> find(std::string_view pod,
                                                                std::size_t limit) const;

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<const Record>> ring_;
};

/// {"decisions":[…]}, docs/policies.md describes it.
std::string explain_json(const std::vector<std::shared_ptr<const Record>>& records);

}  // namespace optipod::extender
