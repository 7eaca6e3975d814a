// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/record.hpp"

#include <algorithm>
#include <cmath>

namespace optipod::extender {
namespace {

/// Indices of the `most` best candidates, best first, earlier before later among equals.
std::vector<std::uint32_t> best(const Decision& decision, std::size_t most) {
  const auto better = [&](std::uint32_t a, std::uint32_t b) {
    return decision.combined[a] != decision.combined[b]
               ? decision.combined[a] > decision.combined[b]
               : a < b;
  };
  // A heap of the best so far, its worst on top: nearly every candidate costs one comparison.
  std::vector<std::uint32_t> heap;
  if (most == 0) return heap;
  heap.reserve(most);
  for (std::uint32_t i = 0; i < decision.row.size(); ++i) {
    if (heap.size() == most) {
      if (!better(i, heap.front())) continue;
      std::ranges::pop_heap(heap, better);
      heap.pop_back();
    }
    heap.push_back(i);
    std::ranges::push_heap(heap, better);
  }
  std::ranges::sort_heap(heap, better);
  return heap;
}

/// Kubernetes' longest name; what a hostile client sends must not fill the ring.
std::string bounded(std::string_view name) {
  return std::string(name.substr(0, 253));
}

Record::Candidate candidate(const Snapshot& snapshot, const wire::Args& args,
                            const Decision& decision, std::int64_t now_ms, std::uint32_t i) {
  Record::Candidate c;
  c.node = bounded(args.node_names[i]);
  c.oldest_ms = decision.age_ms[i];
  c.confidence = decision.confidence[i];
  c.combined = decision.combined[i];
  c.score = decision.score[i];
  if (!decision.reason.empty()) c.reason = decision.reason[i];
  const std::uint32_t row = decision.row[i];
  for (std::size_t s = 0; s < kSignals; ++s) {
    const bool used = decision.used.has(static_cast<Signal>(s)) && row != NodeTable::kUnknown;
    c.value[s] = static_cast<float>(used ? snapshot.value[s][row] : kMissing);
    if (!used || std::isnan(c.value[s])) continue;
    c.age_ms[s] = static_cast<std::int32_t>(
        std::clamp<std::int64_t>(now_ms - snapshot.measured_ms[s][row], 0, INT32_MAX));
  }
  c.opinions.reserve(decision.policies);
  for (std::size_t p = 0; p < decision.policies; ++p) {
    const Judgement& judgement = decision.parts[p].judgement;
    Record::Opinion& opinion = c.opinions.emplace_back();
    opinion.score = judgement.score[i];
    for (std::size_t l = 0; l < std::min(judgement.losses.size(), Record::kMaxLosses); ++l) {
      opinion.losses[l] = judgement.losses[l].share[i];
    }
  }
  return c;
}

}  // namespace

std::shared_ptr<const Record> make_record(std::string_view verb, const Snapshot& snapshot,
                                          const wire::Args& args, const Decision& decision,
                                          std::int64_t now_ms, std::size_t most) {
  auto record = std::make_shared<Record>();
  record->verb = verb;
  record->name_space = bounded(args.pod.name_space);
  record->name = bounded(args.pod.name);
  record->uid = bounded(args.pod.uid);
  record->at_ms = now_ms;
  record->requests = args.pod.requests;
  for (std::size_t p = 0; p < decision.policies; ++p) {
    const Decision::Part& part = decision.parts[p];
    Record::PolicyUsed& used = record->policies.emplace_back();
    used.name = part.by.policy->name();
    used.weight = part.by.weight;
    for (const Judgement::Loss& loss : part.judgement.losses) used.losses.push_back(loss.name);
    used.losses.resize(std::min(used.losses.size(), Record::kMaxLosses));
  }
  record->candidates_total = decision.row.size();
  record->fresh = decision.fresh;
  record->stale = decision.stale;
  record->missing = decision.missing;
  record->withheld = decision.withheld;
  record->rejected = static_cast<std::size_t>(
      std::ranges::count_if(decision.reason, [](std::string_view r) { return !r.empty(); }));
  const std::vector<std::uint32_t> chosen = best(decision, most);
  record->candidates.reserve(chosen.size());
  for (const std::uint32_t i : chosen) {
    record->candidates.push_back(candidate(snapshot, args, decision, now_ms, i));
  }
  return record;
}

void Records::add(std::shared_ptr<const Record> record) {
  if (capacity_ == 0) return;
  std::shared_ptr<const Record> oldest;  // dies outside the lock
  const std::lock_guard lock(mutex_);
  if (ring_.size() >= capacity_) {
    oldest = std::move(ring_.front());
    ring_.pop_front();
  }
  ring_.push_back(std::move(record));
}

std::vector<std::shared_ptr<const Record>> Records::find(std::string_view pod,
                                                         std::size_t limit) const {
  const std::size_t slash = pod.find('/');
  std::vector<std::shared_ptr<const Record>> found;
  const std::lock_guard lock(mutex_);
  for (auto at = ring_.rbegin(); at != ring_.rend() && found.size() < limit; ++at) {
    const Record& r = **at;
    const bool matches =
        pod.empty() || (slash == std::string_view::npos ? r.uid == pod
                                                        : r.name_space == pod.substr(0, slash) &&
                                                              r.name == pod.substr(slash + 1));
    if (matches) found.push_back(*at);
  }
  return found;
}

}  // namespace optipod::extender
