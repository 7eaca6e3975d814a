// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/engine.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "extender/decide/ranking.hpp"
#include "extender/decide/shortlist.hpp"

namespace optipod::extender {
namespace {

/// Rows are mostly laid out in the order of the requests (cluster/asked_order.hpp): in two places
/// at once, where two of kube-scheduler's threads took turns.
void find_rows(const NodeTable& nodes, const Inquiry& inquiry, Decision& out) {
  constexpr std::uint32_t kAhead = 24;  // between two decisions other programs have had the caches
  std::uint32_t here = 0;
  std::uint32_t there = NodeTable::kUnknown;
  for (std::size_t i = 0; i < inquiry.nodes.size(); ++i) {
    const std::string_view name = inquiry.nodes[i];
    nodes.prefetch_name(here + kAhead);
    std::uint32_t row = here;
    if (!nodes.is(here, name)) {
      row = nodes.find(name, there);
      there = here;
    }
    out.row[i] = row;
    if (row == NodeTable::kUnknown) {
      ++out.unknown;
    } else {
      here = row + 1;
    }
  }
}

/// Of a list that is empty as long as all are 1.
void lower(std::vector<double>& list, std::size_t size, std::size_t i, double to) {
  if (list.empty()) list.assign(size, 1);
  list[i] = std::min(list[i], to);
}

/// One policy's confidence in each candidate, by the age of the oldest value it needs; notes the
/// least confident of all policies.
void weigh_ages(const PolicyView& view, const Inquiry& inquiry, const DecideOptions& options,
                Decision::Part& part, Decision& out) {
  part.confidence.clear();
  // Ages are 0 for kAgeless; a node's clock may be ahead of ours.
  if (out.unknown == 0 && inquiry.now_ms - view.oldest_of_all <= options.fresh_for_ms) return;
  for (std::size_t i = 0; i < out.row.size(); ++i) {
    const std::uint32_t row = out.row[i];
    prefetch<std::int64_t, 64>(view.oldest_ms, out.row, i);
    const std::int64_t oldest =
        row == NodeTable::kUnknown ? PolicyView::kNothing : view.oldest_ms[row];
    const std::int64_t age = inquiry.now_ms - oldest;
    if (oldest != PolicyView::kNothing && age <= options.fresh_for_ms) [[likely]] {
      continue;
    }
    const double confidence = oldest == PolicyView::kNothing ? 0 : confidence_at(age, options);
    lower(part.confidence, out.row.size(), i, confidence);
    lower(out.confidence, out.row.size(), i, confidence);
  }
}

/// Adds one policy's scores after confidence: what is not known for sure moves to the mean of what
/// is (or to the worst of it), each candidate counting as much as it is trusted.
void add_weighted(const Decision::Part& part, double weight, const DecideOptions& options,
                  Decision& out) {
  const std::vector<double>& scores = part.judgement.score;
  std::size_t silent = 0;
  for (const double score : scores) silent += std::isnan(score) ? 1 : 0;
  if (part.confidence.empty() && silent == 0) {  // mostly
    for (std::size_t i = 0; i < scores.size(); ++i) out.combined[i] += weight * scores[i];
    return;
  }
  double sum = 0;
  double trust = 0;
  double worst = 1;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (part.trust_in(i) <= 0 || std::isnan(scores[i])) continue;
    sum += part.trust_in(i) * scores[i];
    trust += part.trust_in(i);
    worst = std::min(worst, scores[i]);
  }
  if (trust == 0) return;  // nobody is known: all equal
  const double base = options.on_missing == OnMissing::kNeutral ? sum / trust : worst;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double settled =
        std::isnan(scores[i]) ? base : base + part.trust_in(i) * (scores[i] - base);
    out.combined[i] += weight * settled;
  }
}

/// `points` is 0 .. 10, give or take rounding; std::lround would be a call into the library.
std::uint8_t rounded(double points) {
  return static_cast<std::uint8_t>(
      static_cast<int>(points + 0.5));  // NOLINT(bugprone-incorrect-roundings)
}

void round_absolute(Decision& out) {
  for (std::size_t i = 0; i < out.score.size(); ++i) out.score[i] = rounded(10 * out.combined[i]);
}

void spread(const DecideOptions& options, Decision& out) {
  const auto [lowest, highest] = range_of(out.combined);
  const double span = highest - lowest;
  if (!(span > options.dead_band)) return;  // all 0
  const double step = 10 / std::max(span, options.full_spread);
  for (std::size_t i = 0; i < out.score.size(); ++i) {
    out.score[i] = rounded((out.combined[i] - lowest) * step);
  }
}

/// How much of a node an amount is: the dominant share, of what it has or of what is measured; NaN
/// where neither is known.
double share_of(const World& world, std::uint32_t row, const Usage& usage) {
  if (row == NodeTable::kUnknown) return kMissing;
  const Usage& has = world.capacity[row];
  double share = kMissing;
  if (has.cpu > 0) share = usage.cpu / has.cpu;  // NaN compares false
  if (has.memory > 0) share = std::fmax(share, usage.memory / has.memory);
  return share;
}

/// Of equals with equally little booked, the one that a pod of this uid takes: any, but always the
/// same, and another for each pod.
std::size_t pick(std::string_view uid, std::size_t equals) {
  return std::hash<std::string_view>{}(uid) % equals;
}

/// Among equals, those with fewer pods on their way come first: what is booked is known exactly,
/// while the dead band and the eleven steps hide it. While decisions are in flight, only one of
/// these comes first: a tie that kube-scheduler breaks could not be booked, and the next pod of a
/// burst would be told of the same nodes. It costs the others one step.
void yield_to_less_booked(const World& world, const Inquiry& inquiry, Decision& out) {
  if (out.booking.empty() || out.row.empty()) return;
  const std::uint8_t top = out.top_score();
  std::vector<std::uint32_t> equals;
  std::vector<double> share;
  double least = std::numeric_limits<double>::infinity();
  for (std::uint32_t i = 0; i < out.row.size(); ++i) {
    if (out.score[i] != top) continue;
    equals.push_back(i);
    if (out.row[i] != NodeTable::kUnknown) __builtin_prefetch(&world.capacity[out.row[i]]);
  }
  for (const std::uint32_t i : equals) {
    share.push_back(share_of(world, out.row[i], out.bookings[out.booking[i]].usage));
    least = std::fmin(least, share.back());
  }
  const bool in_flight = std::ranges::any_of(
      out.bookings, [](const Booked& booked) { return booked.undecided > 1e-9; });
  std::vector<std::uint32_t> first;  // not nodes of unknown size: how full they are cannot be told
  for (std::size_t k = 0; k < equals.size(); ++k) {
    const double own = share_of(world, out.row[equals[k]], inquiry.expected);
    if (share[k] <= least + (in_flight ? 0.01 : 0.5) * own) first.push_back(equals[k]);
  }
  if (first.empty()) return;
  if (in_flight) first.assign(1, first[pick(inquiry.pod.uid, first.size())]);
  out.yielded = equals.size() - first.size();
  if (out.yielded == 0) return;
  const int step = top == 0 ? 0 : 1;  // there is none below 0: those in front rise
  for (const std::uint32_t i : equals) out.score[i] = static_cast<std::uint8_t>(top - step);
  for (const std::uint32_t i : first) out.score[i] = static_cast<std::uint8_t>(top - step + 1);
}

/// How many candidates have each score.
std::array<std::size_t, 11> count_scores(std::span<const std::uint8_t> scores) {
  constexpr std::size_t kLanes = 4;  // neighbours have the same score often: a count each
  std::array<std::array<std::uint32_t, 11>, kLanes> with{};
  for (std::size_t i = 0; i < scores.size(); ++i) ++with[i % kLanes][scores[i]];
  std::array<std::size_t, 11> sum{};
  for (const auto& lane : with) {
    for (std::size_t score = 0; score < sum.size(); ++score) sum[score] += lane[score];
  }
  return sum;
}

/// Leaves a score to the best `most_hosts` only. A look at how many have each score leaves only the
/// last of these to be sorted.
void keep_best(const Inquiry& inquiry, const DecideOptions& options, Decision& out) {
  const std::array<std::size_t, 11> with = count_scores(out.score);
  if (out.score.size() - with[0] <= options.most_hosts) return;
  std::size_t room = options.most_hosts;
  std::uint8_t last = 10;  // the best score that not all can keep
  for (; with[last] <= room; --last) room -= with[last];
  std::vector<std::uint32_t>& rivals = out.rivals;
  rivals.resize(out.score.size());
  std::size_t count = 0;
  for (std::uint32_t i = 0; i < out.score.size(); ++i) {  // no branch: it would be guessed wrong
    rivals[count] = i;
    count += out.score[i] == last ? 1 : 0;
    out.score[i] = out.score[i] < last ? std::uint8_t{0} : out.score[i];
  }
  rivals.resize(count);
  const auto first_out = rivals.begin() + static_cast<std::ptrdiff_t>(room);
  std::ranges::nth_element(rivals, first_out, Better(inquiry.pod.uid, out.combined));
  for (auto at = first_out; at != rivals.end(); ++at) out.score[*at] = 0;
}

/// The reason to reject candidate `i`, "" if there is none. Old measurements reject nobody.
std::string_view reason_for(const World& world, std::size_t i, const DecideOptions& options,
                            const Decision& out) {
  if (out.trust_in(i) == 0) {
    return options.on_missing == OnMissing::kReject ? kMissingReason : std::string_view();
  }
  for (std::size_t p = 0; p < out.policies; ++p) {
    const Decision::Part& part = out.parts[p];
    const Policy& policy = (*world.policies)[part.by.policy];
    if (policy.rejects() && part.trust_in(i) == 1 && part.judgement.reject[i] != 0) {
      return policy.reject_reason();
    }
  }
  return {};
}

void reject(const World& world, const DecideOptions& options, Decision& out) {
  const std::size_t n = out.row.size();
  out.reason.assign(n, {});
  std::vector<std::uint32_t> rejected;
  for (std::size_t i = 0; i < n; ++i) {
    out.reason[i] = reason_for(world, i, options, out);
    if (!out.reason[i].empty()) rejected.push_back(static_cast<std::uint32_t>(i));
  }
  const auto most =
      static_cast<std::size_t>(std::floor(options.max_reject_share * static_cast<double>(n)));
  if (rejected.size() <= most) return;
  std::ranges::stable_sort(rejected, {}, [&](std::uint32_t i) { return out.combined[i]; });
  for (std::size_t k = most; k < rejected.size(); ++k) out.reason[rejected[k]] = {};
  out.withheld = rejected.size() - most;
}

void count_confidence(Decision& out) {
  if (out.confidence.empty()) out.fresh = out.row.size();
  for (const double confidence : out.confidence) {
    ++(confidence == 1 ? out.fresh : confidence > 0 ? out.stale : out.missing);
  }
}

}  // namespace

void Decision::resize(std::size_t candidates) {
  row.resize(candidates);
  confidence.clear();
  combined.assign(candidates, 0);
  score.assign(candidates, 0);
  reason.clear();
  left_out.clear();
  unknown = withheld = yielded = fresh = stale = missing = 0;
}

std::size_t Decision::rejected() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(reason, [](std::string_view r) { return !r.empty(); }));
}

Question Decision::question(const World& world, const Inquiry& inquiry) const {
  return {.pod = inquiry.pod,
          .expected = inquiry.expected,
          .sensitivity = inquiry.sensitivity,
          .snapshot = *world.snapshot,
          .row = row,
          .booking = booking,
          .bookings = bookings};
}

std::uint8_t Decision::top_score() const {
  std::uint8_t top = 0;
  for (const std::uint8_t s : score) top = std::max(top, s);
  return top;
}

void Decision::best(std::vector<std::uint32_t>& out) const {
  out.clear();
  const std::uint8_t top = top_score();
  for (std::uint32_t i = 0; i < score.size(); ++i) {
    if (score[i] == top) out.push_back(i);
  }
}

double confidence_at(std::int64_t age_ms, const DecideOptions& options) {
  if (age_ms <= options.fresh_for_ms) return 1;
  if (age_ms >= options.expire_after_ms) return 0;
  return static_cast<double>(options.expire_after_ms - age_ms) /
         static_cast<double>(options.expire_after_ms - options.fresh_for_ms);
}

bool can_reject(const PolicySet& set, std::span<const WeightedPolicy> policies,
                const DecideOptions& options) {
  return options.max_reject_share > 0 &&
         (options.on_missing == OnMissing::kReject ||
          std::ranges::any_of(policies,
                              [&](const WeightedPolicy& w) { return set[w.policy].rejects(); }));
}

void decide(const World& world, const Ledger& ledger, const Inquiry& inquiry,
            const DecideOptions& options, Decision& out) {
  const std::size_t n = inquiry.nodes.size();
  out.resize(n);
  find_rows(world.snapshot->nodes(), inquiry, out);
  ledger.read(world.snapshot->nodes(), out.row, inquiry.pod.uid, out.booking, out.bookings);
  const Question question = out.question(world, inquiry);

  out.policies = inquiry.policies.size();
  if (out.parts.size() < out.policies) out.parts.resize(out.policies);
  double total = 0;
  for (const WeightedPolicy& weighted : inquiry.policies) total += weighted.weight;
  for (std::size_t p = 0; p < out.policies; ++p) {
    Decision::Part& part = out.parts[p];
    part.by = inquiry.policies[p];
    const PolicyView& view = world.views[part.by.policy];
    weigh_ages(view, inquiry, options, part, out);
    part.judgement.reset(n);
    (*world.policies)[part.by.policy].judge(question, view.prepared.get(), part.judgement);
    add_weighted(part, part.by.weight / total, options, out);
  }
  count_confidence(out);
  if (n == 0) return;
  if (inquiry.filter) {
    if (can_reject(*world.policies, inquiry.policies, options)) reject(world, options, out);
    if (inquiry.shortlist) shortlist(world, inquiry, options, out);
    return;
  }
  const bool alone = out.policies == 1 && (*world.policies)[out.parts[0].by.policy].absolute();
  alone ? round_absolute(out) : spread(options, out);
  yield_to_less_booked(world, inquiry, out);
  keep_best(inquiry, options, out);
}

}  // namespace optipod::extender
