// SPDX-License-Identifier: Apache-2.0
#include "extender/serve/answers.hpp"

#include <algorithm>
#include <functional>
#include <memory>

#include "extender/clock.hpp"
#include "extender/decide/shortlist.hpp"
#include "extender/wire/reply.hpp"

namespace optipod::extender {
namespace {

/// kube-scheduler's requests with names for 10,000 nodes are smaller.
constexpr std::size_t kLargeBody = 1024 * 1024;

}  // namespace

/// What a thread needs for a decision, kept between requests.
struct Answers::Workplace {
  explicit Workplace(const Answers& answers) : owner(&answers), decoder(answers.names_) {}

  const Answers* owner;
  wire::Decoder decoder;
  Decision decision;
  Combination combination;
  Wish wish;
  bool learned = false;
  std::vector<std::string_view> nodes;
  std::vector<std::uint32_t> best;
  std::vector<std::uint8_t> keep;
  /// A decision that is yet to be remembered, and what it was about. Its request's text, the
  /// decoder and the members above stay as they are until then.
  struct Made {
    Verb verb;
    std::shared_ptr<const World> world;
    Inquiry inquiry;
    std::size_t body_bytes;
    Records::Ticket ticket;
  };
  std::optional<Made> made;
  /// The last pod whose candidates /filter chose, and of how many: mostly the next that /prioritize
  /// is asked about, by the same connection.
  struct Shortlist {
    std::size_t uid_hash = 0;
    std::size_t of = 0;  ///< candidates; 0: all were kept
  } shortlist;

  void chose(const wire::Pod& pod, std::size_t of) {
    shortlist = {std::hash<std::string_view>{}(pod.uid), of};
  }
  [[nodiscard]] std::size_t chosen_of(const wire::Pod& pod) const {
    return std::hash<std::string_view>{}(pod.uid) == shortlist.uid_hash ? shortlist.of : 0;
  }
};

Answers::Answers(AnswerOptions options, wire::ResourceNames names, CurrentWorld& current,
                 Ledger& ledger, const Workloads& workloads, Records& records, Metrics& metrics)
    : options_(options),
      names_(std::move(names)),
      current_(current),
      ledger_(ledger),
      workloads_(workloads),
      records_(records),
      metrics_(metrics) {}

std::unique_ptr<Answers::Workplace>& Answers::own_place() {
  thread_local std::unique_ptr<Workplace> place;
  return place;
}

Answers::Workplace& Answers::workplace() const {
  std::unique_ptr<Workplace>& place = own_place();
  if (!place || place->owner != this) place = std::make_unique<Workplace>(*this);
  return *place;
}

void Answers::tidy_up(std::size_t body_bytes) {
  if (body_bytes > kLargeBody) own_place().reset();
}

std::optional<Answers::Refusal> Answers::decode(Workplace& place, std::string_view body,
                                                const wire::Args** args) {
  if (place.made) forget(place);  // whose request the decoder would overwrite
  const auto decoded = place.decoder.decode(body);
  if (decoded) {
    *args = *decoded;
    return std::nullopt;
  }
  metrics_.decode_failed(wire::to_string(decoded.error().cause));
  return Refusal{decoded.error().what};
}

std::optional<Answers::Refusal> Answers::answer(Verb verb, std::optional<std::size_t> policy,
                                                std::string_view body, std::string& out) {
  auto refusal = judge(verb, policy, body, out);
  if (!workplace().made) tidy_up(body.size());
  return refusal;
}

void Answers::finish() {
  Workplace& place = workplace();
  if (!place.made) return;
  const Workplace::Made& made = *place.made;
  auto record = make_record(to_string(made.verb), *made.world, made.inquiry, place.decision,
                            options_.explain_candidates);
  record->learned = place.learned;
  record->problems = place.wish.problems;
  if (made.verb == Verb::kPrioritize) record->shortlisted_of = place.chosen_of(made.inquiry.pod);
  records_.add(made.ticket, std::move(record));
  const std::size_t body_bytes = made.body_bytes;
  place.made.reset();
  tidy_up(body_bytes);
}

/// A reply was made that nobody could be given.
void Answers::forget(Workplace& place) {
  records_.add(place.made->ticket, nullptr);
  place.made.reset();
}

std::optional<Answers::Refusal> Answers::judge(Verb verb, std::optional<std::size_t> policy,
                                               std::string_view body, std::string& out) {
  Workplace& place = workplace();
  const wire::Args* args = nullptr;
  if (auto refusal = decode(place, body, &args)) return refusal;
  if (args->has_nodes && !args->has_node_names) metrics_.decode_failed("nodes_not_names");
  if (verb == Verb::kFilter && !args->has_node_names) {
    wire::append_filter_error(out, wire::kNeedsNodeNames);
    return std::nullopt;
  }

  const std::shared_ptr<const World> world = current_.get();
  place.wish = wish_of(args->pod, *world->policies);
  if (policy) {
    place.combination.assign(1, {*policy, 1});
  } else {
    place.combination = place.wish.policies.value_or(world->policies->combination);
  }
  metrics_.annotation_problems(place.wish.problems.size());
  const auto profile = workloads_.find(Workloads::key(wire::workload_of(args->pod)));
  place.learned = profile.has_value();
  Inquiry inquiry{.pod = args->pod,
                  .nodes = args->node_names,
                  .policies = place.combination,
                  .expected = profile.value_or(usage_of(args->pod.requests)),
                  .sensitivity = place.wish.sensitivity,
                  .now_ms = unix_ms(),
                  .filter = verb != Verb::kPrioritize};
  // A policy that is asked alone is one of several: the others have a say in who is best.
  inquiry.shortlist =
      verb == Verb::kFilter && !policy && can_shortlist(*world, inquiry, options_.decide);
  bool decided = true;
  switch (verb) {
    case Verb::kFilter:
      decided = filter(place, *world, inquiry, *args, out);
      break;
    case Verb::kPrioritize:
      prioritize(place, *world, inquiry, out);
      break;
    case Verb::kPreempt:
      decided = preempt(place, *world, inquiry, *args, out);
      break;
    case Verb::kBind:
      return Refusal{"bind is not answered here", 500};
  }
  if (decided) remember(place, verb, world, inquiry, body.size());
  return std::nullopt;
}

void Answers::remember(Workplace& place, Verb verb, std::shared_ptr<const World> world,
                       const Inquiry& inquiry, std::size_t body_bytes) {
  if (verb != Verb::kPrioritize || place.chosen_of(inquiry.pod) == 0) {  // else with gaps
    current_.asked_order().note(world->snapshot->nodes(), place.decision.row);
  }
  // A shortlist alone is told of with the scores, as its best are those of /prioritize.
  const bool told_later = verb == Verb::kFilter && place.decision.reason.empty();
  if (told_later || !records_.keeps_any()) return;
  const Records::Ticket ticket = records_.announce(inquiry.pod.uid);
  place.made.emplace(Workplace::Made{verb, std::move(world), inquiry, body_bytes, ticket});
}

std::optional<Answers::Refusal> Answers::neutral(Verb verb, std::string_view body,
                                                 std::string& out) {
  if (verb == Verb::kPrioritize) {
    out += "[]";
    return std::nullopt;
  }
  auto refusal = pass_on(verb, body, out);
  tidy_up(body.size());
  return refusal;
}

std::optional<Answers::Refusal> Answers::pass_on(Verb verb, std::string_view body,
                                                 std::string& out) {
  Workplace& place = workplace();
  const wire::Args* args = nullptr;
  if (auto refusal = decode(place, body, &args)) return refusal;
  if (verb == Verb::kPreempt) {
    place.keep.clear();
    for (const wire::Victims& v : args->victims) place.keep.push_back(v.count != 0 ? 1 : 0);
    wire::append_preemption(out, *args, place.keep);
  } else if (args->has_node_names) {
    wire::append_filter(out, args->node_names, {});
  } else {
    wire::append_filter_error(out, wire::kNeedsNodeNames);
  }
  return std::nullopt;
}

bool Answers::filter(Workplace& place, const World& world, const Inquiry& inquiry,
                     const wire::Args& args, std::string& out) {
  place.chose(inquiry.pod, 0);
  if (!inquiry.shortlist && !can_reject(*world.policies, inquiry.policies, options_.decide)) {
    wire::append_filter(out, args.node_names, {});
    metrics_.passed(args.node_names.size());
    return false;
  }
  decide(world, ledger_, inquiry, options_.decide, place.decision);
  const Decision& decision = place.decision;
  wire::append_filter(out, args.node_names, decision.reason, decision.left_out);
  if (!decision.left_out.empty()) place.chose(inquiry.pod, args.node_names.size());
  metrics_.decided(Verb::kFilter, place.decision);
  return true;
}

void Answers::prioritize(Workplace& place, const World& world, const Inquiry& inquiry,
                         std::string& out) {
  decide(world, ledger_, inquiry, options_.decide, place.decision);
  const Decision& decision = place.decision;
  const std::size_t listed = wire::append_priorities(out, world.snapshot->nodes(), decision.row,
                                                     inquiry.nodes, decision.score);
  metrics_.hosts_listed(listed, inquiry.nodes.size());
  metrics_.decided(Verb::kPrioritize, decision);
  if (options_.booking) book(place, inquiry);
}

/// One of the best will most likely get the pod. A node that the world does not know has its share,
/// but under no name: what a client invents is not kept.
void Answers::book(Workplace& place, const Inquiry& inquiry) {
  place.decision.best(place.best);
  place.nodes.clear();
  for (const std::uint32_t i : place.best) {
    const bool known = place.decision.row[i] != NodeTable::kUnknown;
    place.nodes.push_back(known ? inquiry.nodes[i] : std::string_view());
  }
  ledger_.decided(inquiry.pod.uid, place.nodes, inquiry.expected, inquiry.pod.requests,
                  inquiry.now_ms);
}

/// A node without victims is one that only an extender stands against (Kubernetes 1.38 sends such):
/// evicting nobody changes nothing there. One that /filter would reject gains nothing either.
bool Answers::preempt(Workplace& place, const World& world, Inquiry& inquiry,
                      const wire::Args& args, std::string& out) {
  place.nodes.clear();
  place.keep.clear();
  for (const wire::Victims& victims : args.victims) {
    place.keep.push_back(victims.count != 0 ? 1 : 0);
    if (victims.count != 0) place.nodes.push_back(victims.node);
  }
  inquiry.nodes = place.nodes;
  const bool judged =
      !place.nodes.empty() && can_reject(*world.policies, inquiry.policies, options_.decide);
  if (judged) {
    decide(world, ledger_, inquiry, options_.decide, place.decision);
    std::size_t asked = 0;
    for (std::uint8_t& keep : place.keep) {
      if (keep != 0 && !place.decision.reason[asked++].empty()) keep = 0;
    }
    metrics_.decided(Verb::kPreempt, place.decision);
  }
  metrics_.victims_dropped(static_cast<std::size_t>(std::ranges::count(place.keep, 0)));
  wire::append_preemption(out, args, place.keep);
  return judged;
}

}  // namespace optipod::extender
