// SPDX-License-Identifier: Apache-2.0
//
// From one request body to one reply body: filter, prioritize, preempt.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "extender/cluster/ledger.hpp"
#include "extender/cluster/workloads.hpp"
#include "extender/decide/engine.hpp"
#include "extender/decide/record.hpp"
#include "extender/decide/world.hpp"
#include "extender/metrics.hpp"
#include "extender/verb.hpp"

namespace optipod::extender {

struct AnswerOptions {
  DecideOptions decide;
  std::size_t explain_candidates = 32;  ///< of each decision, the best
  bool booking = true;                  ///< whether decisions are booked
};

/// Thread-safe. Everything passed in must outlive it.
class Answers {
 public:
  Answers(AnswerOptions options, wire::ResourceNames names, CurrentWorld& current, Ledger& ledger,
          const Workloads& workloads, Records& records, Metrics& metrics);

  struct Refusal {
    std::string what;  ///< for the log
    unsigned status = 400;
  };
  /// Appends the reply. `policy` is the one that is asked alone; nullopt: the combination, or what
  /// the pod's annotation says. A refusal leaves `out` as it was.
  std::optional<Refusal> answer(Verb verb, std::optional<std::size_t> policy, std::string_view body,
                                std::string& out);
  /// What answer() has left to do on this thread, for which nobody need wait: remembers the
  /// decision for /explain, where there is one. While the answered body is still there.
  void finish();
  /// The reply that changes nothing about kube-scheduler's own decision, for when there is no time
  /// to judge.
  std::optional<Refusal> neutral(Verb verb, std::string_view body, std::string& out);

  [[nodiscard]] const DecideOptions& decide_options() const { return options_.decide; }

 private:
  struct Workplace;
  /// The calling thread's.
  static std::unique_ptr<Workplace>& own_place();
  Workplace& workplace() const;
  /// After a request with so large a body; the memory that it took is not kept.
  static void tidy_up(std::size_t body_bytes);
  std::optional<Refusal> judge(Verb verb, std::optional<std::size_t> policy, std::string_view body,
                               std::string& out);
  std::optional<Refusal> pass_on(Verb verb, std::string_view body, std::string& out);
  std::optional<Refusal> decode(Workplace& place, std::string_view body, const wire::Args** args);
  // Whether something was decided; /prioritize always does.
  bool filter(Workplace& place, const World& world, const Inquiry& inquiry, const wire::Args& args,
              std::string& out);
  void prioritize(Workplace& place, const World& world, const Inquiry& inquiry, std::string& out);
  bool preempt(Workplace& place, const World& world, Inquiry& inquiry, const wire::Args& args,
               std::string& out);
  void remember(Workplace& place, Verb verb, std::shared_ptr<const World> world,
                const Inquiry& inquiry, std::size_t body_bytes);
  void forget(Workplace& place);
  void book(Workplace& place, const Inquiry& inquiry);

  const AnswerOptions options_;
  const wire::ResourceNames names_;
  CurrentWorld& current_;
  Ledger& ledger_;
  const Workloads& workloads_;
  Records& records_;
  Metrics& metrics_;
};

}  // namespace optipod::extender
