// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/record.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace optipod::extender {
namespace {

/// Indices of the `most` best candidates, best first, earlier before later among equals.
std::vector<std::uint32_t> best(const Decision& decision, std::size_t most) {
  const auto better = [&](std::uint32_t a, std::uint32_t b) {
    if (decision.score[a] != decision.score[b]) return decision.score[a] > decision.score[b];
    return decision.combined[a] != decision.combined[b]
               ? decision.combined[a] > decision.combined[b]
               : a < b;
  };
  std::vector<std::uint32_t> heap;
  if (most == 0) return heap;
  // Mostly those that have kept a score are as many as are wanted.
  for (std::uint32_t i = 0; i < decision.score.size(); ++i) {
    if (decision.score[i] != 0) heap.push_back(i);
  }
  if (heap.size() >= most) {
    const auto end = heap.begin() + static_cast<std::ptrdiff_t>(most);
    std::ranges::partial_sort(heap, end, better);
    heap.erase(end, heap.end());
    return heap;
  }
  // A heap of the best so far, its worst on top: nearly every candidate costs one comparison.
  heap.clear();
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
std::string_view bounded(std::string_view name) {
  return name.substr(0, 253);
}

std::size_t hash_of(std::string_view uid) {
  return std::hash<std::string_view>{}(uid);
}

void add_policies(const World& world, const Decision& decision, Record& record) {
  SignalSet used;
  record.policies.reserve(decision.policies);
  for (std::size_t p = 0; p < decision.policies; ++p) {
    const WeightedPolicy& by = decision.parts[p].by;
    const Policy& policy = (*world.policies)[by.policy];
    const auto terms = policy.terms();
    record.policies.push_back({policy.name(), by.weight, {terms.begin(), terms.end()}});
    used.add(policy.needs());
  }
  record.signals.reserve(kSignals);
  for (std::size_t s = 0; s < kSignals; ++s) {
    if (used.has(static_cast<Signal>(s))) record.signals.push_back(static_cast<Signal>(s));
  }
}

/// Of the oldest value that a policy's score of the candidate rests on, ms; -1: there is none.
std::int64_t age_of(const World& world, const Inquiry& inquiry, const Decision& decision,
                    std::size_t candidate) {
  std::int64_t age = -1;
  for (const Decision::Part& part : std::span(decision.parts).first(decision.policies)) {
    if (part.trust_in(candidate) == 0) continue;
    const std::int64_t oldest = world.views[part.by.policy].oldest_ms[decision.row[candidate]];
    age = std::max({age, std::int64_t{0}, inquiry.now_ms - oldest});
  }
  return age;
}

void add_candidates(const World& world, const Inquiry& inquiry, const Decision& decision,
                    const Question& question, std::span<const std::uint32_t> chosen,
                    Record& record) {
  record.candidates.reserve(chosen.size());
  for (const std::uint32_t i : chosen) {
    const std::string_view node = bounded(inquiry.nodes[i]);
    record.candidates.push_back(
        {.node_at = static_cast<std::uint32_t>(record.node_names.size()),
         .node_size = static_cast<std::uint32_t>(node.size()),
         .oldest_ms = age_of(world, inquiry, decision, i),
         .confidence = decision.trust_in(i),
         .combined = decision.combined[i],
         .score = decision.score[i],
         .booked = question.booked(i).usage,
         .reason = decision.reason.empty() ? std::string_view() : decision.reason[i],
         .left_out = !decision.left_out.empty() && decision.left_out[i] != 0});
    record.node_names += node;
  }
}

void add_measured(const World& world, const Inquiry& inquiry, const Decision& decision,
                  std::span<const std::uint32_t> chosen, Record& record) {
  const Measurements& measured = *world.snapshot->measured;
  const std::int64_t since = inquiry.now_ms - measured.received_ms;
  record.measured.reserve(chosen.size() * record.signals.size());
  for (const std::uint32_t candidate : chosen) {
    const std::uint32_t row = decision.row[candidate];
    for (const Signal signal : record.signals) {
      if (row == NodeTable::kUnknown) {
        record.measured.push_back({static_cast<float>(kMissing), 0});
        continue;
      }
      const Reading& reading = measured.readings_of(row)[index(signal)];
      const std::int64_t age = std::clamp<std::int64_t>(since + reading.age_ms, 0, INT32_MAX);
      record.measured.push_back({reading.value, static_cast<std::int32_t>(age)});
    }
  }
}

void add_opinions(const World& world, const Decision& decision, const Question& question,
                  std::span<const std::uint32_t> chosen, Record& record) {
  record.opinions.resize(chosen.size() * decision.policies);
  for (std::size_t p = 0; p < decision.policies; ++p) {
    const Decision::Part& part = decision.parts[p];
    const Policy& policy = (*world.policies)[part.by.policy];
    const Prepared* prepared = world.views[part.by.policy].prepared.get();
    const std::size_t terms = record.policies[p].terms.size();
    for (std::size_t c = 0; c < chosen.size(); ++c) {
      Record::Opinion& opinion = record.opinions[c * decision.policies + p];
      opinion.score = part.judgement.score[chosen[c]];
      opinion.confidence = part.trust_in(chosen[c]);
      opinion.terms.fill(kMissing);
      policy.explain(question, prepared, part.judgement, chosen[c],
                     std::span(opinion.terms).first(terms));
    }
  }
}

}  // namespace

std::shared_ptr<Record> make_record(std::string_view verb, const World& world,
                                    const Inquiry& inquiry, const Decision& decision,
                                    std::size_t most) {
  auto record = std::make_shared<Record>();
  record->verb = verb;
  record->name_space = bounded(inquiry.pod.name_space);
  record->name = bounded(inquiry.pod.name);
  record->uid = bounded(inquiry.pod.uid);
  record->at_ms = inquiry.now_ms;
  record->requests = inquiry.pod.requests;
  record->expected = inquiry.expected;
  record->candidates_total = decision.row.size();
  record->fresh = decision.fresh;
  record->stale = decision.stale;
  record->missing = decision.missing;
  record->withheld = decision.withheld;
  record->yielded = decision.yielded;
  record->rejected = decision.rejected();
  record->left_out = static_cast<std::size_t>(std::ranges::count(decision.left_out, 1));
  if (!inquiry.filter) {
    record->equals =
        static_cast<std::size_t>(std::ranges::count(decision.score, decision.top_score()));
  }
  add_policies(world, decision, *record);
  const Question question = decision.question(world, inquiry);
  const std::vector<std::uint32_t> chosen = best(decision, most);
  add_candidates(world, inquiry, decision, question, chosen, *record);
  add_measured(world, inquiry, decision, chosen, *record);
  add_opinions(world, decision, question, chosen, *record);
  return record;
}

Records::Ticket Records::announce(std::string_view uid) {
  const std::size_t hash = hash_of(bounded(uid));
  const std::lock_guard lock(mutex_);
  ring_.push_back({hash, {}});
  return pending_.emplace_back(first_ + ring_.size() - 1);
}

void Records::add(Ticket ticket, std::shared_ptr<const Record> record) {
  std::vector<Remembered> oldest;  // die outside the lock
  {
    const std::lock_guard lock(mutex_);
    std::erase(pending_, ticket);
    if (ticket >= first_) ring_[ticket - first_].decision.record = std::move(record);
    for (; ring_.size() > capacity_; ring_.pop_front(), ++first_) {
      oldest.push_back(std::move(ring_.front().decision));
    }
  }
  made_.notify_all();
}

void Records::add(std::shared_ptr<const Record> record) {
  const Ticket ticket = announce(record->uid);
  add(ticket, std::move(record));
}

void Records::bound(std::string_view uid, std::string_view node, std::int64_t now_ms) {
  uid = bounded(uid);
  const std::size_t hash = hash_of(uid);
  const std::lock_guard lock(mutex_);
  std::size_t looked_at = 0;
  for (auto at = ring_.rbegin(); at != ring_.rend() && looked_at < kRecent; ++at, ++looked_at) {
    Remembered& decision = at->decision;
    if (at->uid_hash != hash || !decision.bound_to.empty()) continue;
    if (decision.record && decision.record->uid != uid) continue;
    decision.bound_to = bounded(node);
    decision.bound_at_ms = now_ms;
  }
}

std::vector<Remembered> Records::find(std::string_view pod, std::size_t limit) const {
  const std::size_t slash = pod.find('/');
  const auto matches = [&](const Record& r) {
    if (pod.empty()) return true;
    if (slash == std::string_view::npos) return r.uid == pod;
    return r.name_space == pod.substr(0, slash) && r.name == pod.substr(slash + 1);
  };
  std::vector<Remembered> found;
  std::unique_lock lock(mutex_);
  const Ticket next = first_ + ring_.size();
  made_.wait_for(lock, patience_, [&] {
    return std::ranges::none_of(pending_, [next](Ticket ticket) { return ticket < next; });
  });
  for (auto at = ring_.rbegin(); at != ring_.rend() && found.size() < limit; ++at) {
    if (at->decision.record && matches(*at->decision.record)) found.push_back(at->decision);
  }
  return found;
}

}  // namespace optipod::extender
