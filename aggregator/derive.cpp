// SPDX-License-Identifier: Apache-2.0
#include "aggregator/derive.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace optipod::aggregator {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// NaN when a side is missing; negative when the counter went down.
double increase(const std::optional<double>& from, const std::optional<double>& to) {
  return from && to ? *to - *from : kNan;
}

/// Per bound over all groups: what was added since `from`. A group that is new adds nothing yet,
/// one that is gone nothing more. Negative where a counter went down.
std::vector<float> increase(const HistogramCounts& from, const HistogramCounts& to) {
  if (!from.layout || !to.layout) return {};
  const std::size_t bounds = to.layout->bounds.size();
  std::vector<double> sum(bounds, 0.0);
  const auto& old_groups = from.layout->groups;
  for (std::size_t g = 0; g < to.layout->groups.size(); ++g) {
    std::size_t old = g;
    if (from.layout != to.layout) {
      const auto at = std::find(old_groups.begin(), old_groups.end(), to.layout->groups[g]);
      if (at == old_groups.end()) continue;
      old = static_cast<std::size_t>(at - old_groups.begin());
    }
    for (std::size_t b = 0; b < bounds; ++b) {
      const double more = to.counts[g * bounds + b] - from.counts[old * bounds + b];
      if (std::isnan(more)) continue;  // not exposed for this group
      sum[b] = more < 0 || sum[b] < 0 ? -1.0 : sum[b] + more;
    }
  }
  return {sum.begin(), sum.end()};
}

bool went_down(const std::vector<float>& more) {
  return std::any_of(more.begin(), more.end(), [](float v) { return v < 0; });
}

std::optional<double> share(const std::optional<double>& value) {
  return value ? std::optional(std::clamp(*value, 0.0, 1.0)) : std::nullopt;
}

/// Absent when NaN.
std::optional<double> known(double value) {
  return std::isnan(value) ? std::nullopt : std::optional(value);
}

std::optional<double> per_cpu(const std::optional<double>& value,
                              const std::optional<double>& cpus) {
  if (!value || !cpus || !(*cpus > 0)) return std::nullopt;
  return *value / *cpus;
}

std::optional<double> memory_utilization(const NodeSample& sample) {
  if (!sample.memory_total || !sample.memory_available || !(*sample.memory_total > 0)) {
    return std::nullopt;
  }
  return share(1.0 - *sample.memory_available / *sample.memory_total);
}

}  // namespace

std::optional<double> histogram_quantile(double q, std::span<const double> bounds,
                                         std::span<const double> cumulative) {
  if (bounds.size() < 2 || bounds.size() != cumulative.size() || !std::isinf(bounds.back())) {
    return std::nullopt;
  }
  const double total = cumulative.back();
  if (!(total > 0)) return std::nullopt;
  const double rank = q * total;
  std::size_t b = 0;
  while (b + 1 < bounds.size() && cumulative[b] < rank) ++b;
  if (b + 1 == bounds.size()) return bounds[b - 1];
  if (b == 0 && bounds[0] <= 0) return bounds[0];
  const double start = b == 0 ? 0.0 : bounds[b - 1];
  const double below = b == 0 ? 0.0 : cumulative[b - 1];
  const double inside = cumulative[b] - below;
  if (!(inside > 0)) return bounds[b];
  return start + (bounds[b] - start) * ((rank - below) / inside);
}

std::optional<History::Step> History::step(const NodeSample& from, const NodeSample& to) {
  if (to.measured_ms <= from.measured_ms) return std::nullopt;
  const auto other_bounds = [](const HistogramCounts& a, const HistogramCounts& b) {
    return a.layout && b.layout && a.layout != b.layout && a.layout->bounds != b.layout->bounds;
  };
  if (other_bounds(from.runqueue, to.runqueue) || other_bounds(from.block_io, to.block_io)) {
    return std::nullopt;
  }
  Step made{.from_ms = from.measured_ms,
            .to_ms = to.measured_ms,
            .cpu_usage = increase(from.cpu_usage, to.cpu_usage),
            .runqueue_wait = increase(from.runqueue_wait, to.runqueue_wait),
            .memory_waiting = increase(from.memory_waiting, to.memory_waiting),
            .io_waiting = increase(from.io_waiting, to.io_waiting),
            .counters = {},
            .runqueue = increase(from.runqueue, to.runqueue),
            .block_io = increase(from.block_io, to.block_io)};
  bool down = made.cpu_usage < 0 || made.runqueue_wait < 0 || made.memory_waiting < 0 ||
              made.io_waiting < 0 || went_down(made.runqueue) || went_down(made.block_io);
  for (std::size_t i = 0; i < kCounters; ++i) {
    made.counters[i] = static_cast<float>(to.counters[i] - from.counters[i]);
    down = down || made.counters[i] < 0;
  }
  if (down) return std::nullopt;
  return made;
}

void History::add(NodeSample sample) {
  if (last_ && sample.measured_ms == last_->measured_ms) return;
  std::optional<Step> made;
  if (last_) made = step(*last_, sample);
  if (made) {
    remember(*made, sample);
    steps_.push_back(std::move(*made));
  } else {
    steps_.clear();
  }
  if (last_ && sample.measured_ms < last_->measured_ms - kLongMs) {
    cpu_.clear();
    memory_.clear();
    runqueue_.clear();
  }
  const std::int64_t oldest = sample.measured_ms - kLongMs;
  while (!steps_.empty() && (steps_.front().from_ms < oldest || steps_.size() > kMaxSteps)) {
    steps_.pop_front();
  }
  last_ = std::move(sample);
}

void History::remember(const Step& step, const NodeSample& sample) {
  if (step.to_ms - step.from_ms > kLongMs) return;
  const double seconds = step.seconds();
  if (const auto value = share(per_cpu(known(step.cpu_usage / seconds), sample.cpus))) {
    cpu_.add(step.to_ms, seconds, *value);
  }
  if (const auto value = memory_utilization(sample)) memory_.add(step.to_ms, seconds, *value);
  if (const auto value = per_cpu(known(step.runqueue_wait / seconds), sample.cpus)) {
    runqueue_.add(step.to_ms, *value);
  }
}

History::Steps::const_iterator History::first_of(std::int64_t length_ms) const {
  auto first = steps_.end();
  if (!last_) return first;
  const std::int64_t since = last_->measured_ms - length_ms;
  while (first != steps_.begin() && std::prev(first)->from_ms >= since) --first;
  return first;
}

std::optional<double> History::rate(const Steps::const_iterator& first,
                                    double Step::*increase) const {
  if (first == steps_.end() || std::isnan(steps_.back().*increase)) return std::nullopt;
  double sum = 0, seconds = 0;
  for (auto s = first; s != steps_.end(); ++s) {
    if (std::isnan((*s).*increase)) continue;
    sum += (*s).*increase;
    seconds += s->seconds();
  }
  return sum / seconds;
}

PerCounter<double> History::rates(const Steps::const_iterator& first) const {
  PerCounter<double> rates;
  if (first == steps_.end()) return rates;
  std::array<double, kCounters> sum{}, seconds{};
  for (auto s = first; s != steps_.end(); ++s) {
    const double length = s->seconds();
    for (std::size_t i = 0; i < kCounters; ++i) {
      const auto more = static_cast<double>(s->counters[i]);
      if (std::isnan(more)) continue;
      sum[i] += more;
      seconds[i] += length;
    }
  }
  for (std::size_t i = 0; i < kCounters; ++i) {
    if (!std::isnan(steps_.back().counters[i])) rates[i] = sum[i] / seconds[i];
  }
  return rates;
}

std::optional<double> History::p95(const Steps::const_iterator& first,
                                   std::vector<float> Step::*increases,
                                   const HistogramCounts& newest) const {
  if (first == steps_.end()) return std::nullopt;
  const std::size_t bounds = (steps_.back().*increases).size();
  if (bounds == 0) return std::nullopt;
  std::vector<double> sum(bounds, 0.0);
  for (auto s = first; s != steps_.end(); ++s) {
    const std::vector<float>& more = (*s).*increases;
    for (std::size_t b = 0; b < more.size() && b < bounds; ++b)
      sum[b] += static_cast<double>(more[b]);
  }
  return histogram_quantile(0.95, newest.layout->bounds, sum);
}

Derived::Window History::window(const Steps::const_iterator& first,
                                const PerCounter<double>& rates) const {
  Derived::Window window;
  if (first == steps_.end()) return window;
  window.cpu_utilization = share(per_cpu(rate(first, &Step::cpu_usage), last_->cpus));
  window.runqueue_wait = per_cpu(rate(first, &Step::runqueue_wait), last_->cpus);
  window.memory_stall = share(rate(first, &Step::memory_waiting));
  window.io_stall = share(rate(first, &Step::io_waiting));
  window.runqueue_wait_p95 = p95(first, &Step::runqueue, last_->runqueue);
  window.block_io_latency_p95 = p95(first, &Step::block_io, last_->block_io);
  if (rates[kSegmentsSent] > 0) {
    window.network_loss = share(known(rates[kSegmentsRetransmitted] / rates[kSegmentsSent]));
  }
  return window;
}

Derived::Past History::past(const Trend& trend) const {
  const std::int64_t now = last_->measured_ms;
  return {.w15m = trend.over(now, 15 * Trend::kMinuteMs),
          .w1h = trend.over(now, Trend::kHourMs),
          .w24h = trend.over(now, 24 * Trend::kHourMs),
          .forecast_15m = share(trend.forecast(now))};
}

Derived History::derive() const {
  Derived derived;
  if (!last_) return derived;
  derived.cpus = last_->cpus;
  derived.memory_bytes = last_->memory_total;
  derived.inflight = last_->inflight;
  derived.memory_utilization = memory_utilization(*last_);
  const auto short_first = first_of(kShortMs), long_first = first_of(kLongMs);
  derived.w15s = window(short_first, rates(short_first));
  const PerCounter<double> rates_1m = rates(long_first);
  derived.w1m = window(long_first, rates_1m);
  for (std::size_t i = 0; i < kRates; ++i) derived.rate_1m[i] = known(rates_1m[i]);
  derived.cpu = past(cpu_);
  derived.memory = past(memory_);
  derived.runqueue_wait_max_1h = runqueue_.over_hour(last_->measured_ms);
  return derived;
}

}  // namespace optipod::aggregator
