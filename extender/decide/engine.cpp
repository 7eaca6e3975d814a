// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/engine.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace optipod::extender {
namespace {

/// Ages by whole rows. True when every known candidate's oldest measurement is fresh, as it nearly
/// always is: then no single value's age matters.
bool ages_from_rows(const Snapshot& snapshot, std::int64_t now_ms, const DecideOptions& options,
                    Decision& out) {
  bool all_fresh = true;
  for (std::size_t i = 0; i < out.row.size(); ++i) {
    out.age_ms[i] = -1;
    if (out.row[i] == NodeTable::kUnknown) continue;
    // A node's clock may be ahead of ours.
    out.age_ms[i] = std::max<std::int64_t>(0, now_ms - snapshot.oldest_ms[out.row[i]]);
    all_fresh = all_fresh && out.age_ms[i] <= options.fresh_for_ms;
  }
  if (!all_fresh) std::ranges::fill(out.age_ms, -1);
  return all_fresh;
}

void copy_column(const std::vector<double>& value, const std::vector<std::uint32_t>& rows,
                 std::vector<double>& column) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    column[i] = rows[i] == NodeTable::kUnknown ? kMissing : value[rows[i]];
  }
}

/// Copies what is not expired, and notes the age of the oldest.
void copy_young(const Snapshot& snapshot, std::size_t signal, std::int64_t now_ms,
                const DecideOptions& options, Decision& out) {
  const std::vector<double>& value = snapshot.value[signal];
  const std::vector<std::int64_t>& time = snapshot.measured_ms[signal];
  std::vector<double>& column = out.columns[signal];
  for (std::size_t i = 0; i < out.row.size(); ++i) {
    const std::uint32_t row = out.row[i];
    column[i] = kMissing;
    if (row == NodeTable::kUnknown || std::isnan(value[row])) continue;
    const std::int64_t age = std::max<std::int64_t>(0, now_ms - time[row]);
    if (age >= options.expire_after_ms) continue;
    column[i] = value[row];
    out.age_ms[i] = std::max(out.age_ms[i], age);
  }
}

/// Fills row, age, confidence and the columns of the signals in `out.used`.
void gather(const Snapshot& snapshot, const wire::Args& args, std::int64_t now_ms,
            const DecideOptions& options, Decision& out) {
  const std::size_t n = args.node_names.size();
  const NodeTable& nodes = *snapshot.nodes;
  std::uint32_t last = NodeTable::kUnknown;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t row = nodes.find(args.node_names[i], last + 1);
    out.row[i] = row;
    if (row != NodeTable::kUnknown) last = row;
  }
  out.columns.resize(kSignals);
  const bool all_fresh = ages_from_rows(snapshot, now_ms, options, out);
  for (std::size_t s = 0; s < kSignals; ++s) {
    if (!out.used.has(static_cast<Signal>(s))) continue;
    out.columns[s].resize(n);
    if (all_fresh) {
      copy_column(snapshot.value[s], out.row, out.columns[s]);
    } else {
      copy_young(snapshot, s, now_ms, options, out);
    }
  }
  out.fresh = out.stale = out.missing = 0;
  for (std::size_t i = 0; i < n; ++i) {
    out.confidence[i] = out.age_ms[i] < 0 ? 0 : confidence_at(out.age_ms[i], options);
    ++(out.confidence[i] == 1 ? out.fresh : out.confidence[i] > 0 ? out.stale : out.missing);
  }
}

/// Adds one policy's scores after confidence: what is not known for sure moves to the mean of what
/// is (or to the worst of it), each candidate counting as much as it is trusted.
void add_weighted(const Judgement& judgement, double weight, const DecideOptions& options,
                  Decision& out) {
  const std::size_t n = out.row.size();
  double sum = 0;
  double trust = 0;
  double worst = 1;
  for (std::size_t i = 0; i < n; ++i) {
    if (out.confidence[i] <= 0 || std::isnan(judgement.score[i])) continue;
    sum += out.confidence[i] * judgement.score[i];
    trust += out.confidence[i];
    worst = std::min(worst, judgement.score[i]);
  }
  if (trust == 0) return;  // nobody is known: all equal
  const double base = options.on_missing == OnMissing::kNeutral ? sum / trust : worst;
  for (std::size_t i = 0; i < n; ++i) {
    const double score = judgement.score[i];
    const double settled = std::isnan(score) ? base : base + out.confidence[i] * (score - base);
    out.combined[i] += weight * settled;
  }
}

void spread(const DecideOptions& options, Decision& out) {
  const auto [lowest, highest] = std::ranges::minmax(out.combined);
  const double span = highest - lowest;
  if (!(span > options.dead_band)) {
    std::ranges::fill(out.score, std::uint8_t{0});
    return;
  }
  const double step = 10 / std::max(span, options.full_spread);
  for (std::size_t i = 0; i < out.score.size(); ++i) {
    out.score[i] = static_cast<std::uint8_t>(std::lround((out.combined[i] - lowest) * step));
  }
}

/// The reason to reject candidate `i`, "" if there is none. Old measurements reject nobody.
std::string_view reason_for(std::size_t i, const DecideOptions& options, const Decision& out) {
  if (out.confidence[i] == 0) {
    return options.on_missing == OnMissing::kReject ? kMissingReason : std::string_view();
  }
  if (out.confidence[i] < 1) return {};
  for (std::size_t p = 0; p < out.policies; ++p) {
    const Decision::Part& part = out.parts[p];
    if (part.by.policy->rejects() && part.judgement.reject[i] != 0) {
      return part.by.policy->reject_reason();
    }
  }
  return {};
}

void reject(const DecideOptions& options, Decision& out) {
  const std::size_t n = out.row.size();
  out.reason.assign(n, {});
  out.withheld = 0;
  std::vector<std::uint32_t> rejected;
  for (std::size_t i = 0; i < n; ++i) {
    out.reason[i] = reason_for(i, options, out);
    if (!out.reason[i].empty()) rejected.push_back(static_cast<std::uint32_t>(i));
  }
  const auto most =
      static_cast<std::size_t>(std::floor(options.max_reject_share * static_cast<double>(n)));
  if (rejected.size() <= most) return;
  std::ranges::stable_sort(rejected, {}, [&](std::uint32_t i) { return out.combined[i]; });
  for (std::size_t k = most; k < rejected.size(); ++k) out.reason[rejected[k]] = {};
  out.withheld = rejected.size() - most;
}

}  // namespace

void Decision::resize(std::size_t candidates) {
  row.resize(candidates);
  age_ms.resize(candidates);
  confidence.resize(candidates);
  combined.assign(candidates, 0);
  score.assign(candidates, 0);
  reason.clear();
  withheld = 0;
}

double confidence_at(std::int64_t age_ms, const DecideOptions& options) {
  if (age_ms <= options.fresh_for_ms) return 1;
  if (age_ms >= options.expire_after_ms) return 0;
  return static_cast<double>(options.expire_after_ms - age_ms) /
         static_cast<double>(options.expire_after_ms - options.fresh_for_ms);
}

bool can_reject(std::span<const WeightedPolicy> policies, const DecideOptions& options) {
  return options.max_reject_share > 0 &&
         (options.on_missing == OnMissing::kReject ||
          std::ranges::any_of(policies,
                              [](const WeightedPolicy& w) { return w.policy->rejects(); }));
}

void decide(const Snapshot& snapshot, const wire::Args& args, std::int64_t now_ms,
            std::span<const WeightedPolicy> policies, const DecideOptions& options, bool filter,
            Decision& out) {
  const std::size_t n = args.node_names.size();
  out.resize(n);
  out.used = SignalSet();
  for (const WeightedPolicy& weighted : policies) out.used.add(weighted.policy->needs());
  gather(snapshot, args, now_ms, options, out);

  Question question(args.pod, n);
  for (std::size_t s = 0; s < kSignals; ++s) {
    if (out.used.has(static_cast<Signal>(s))) question.set(static_cast<Signal>(s), out.columns[s]);
  }
  out.policies = policies.size();
  if (out.parts.size() < policies.size()) out.parts.resize(policies.size());
  double total = 0;
  for (const WeightedPolicy& weighted : policies) total += weighted.weight;
  for (std::size_t p = 0; p < policies.size(); ++p) {
    Decision::Part& part = out.parts[p];
    part.by = policies[p];
    part.by.policy->judge(question, part.judgement);
    add_weighted(part.judgement, part.by.weight / total, options, out);
  }
  if (n == 0) return;
  if (filter) {
    reject(options, out);
  } else {
    spread(options, out);
  }
}

}  // namespace optipod::extender
