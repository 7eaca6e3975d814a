// SPDX-License-Identifier: Apache-2.0
#include "aggregator/derive.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace optipod::aggregator {
namespace {

/// Over all groups: what was added since `from`. A group that is new adds nothing yet, one that is
/// gone nothing more. False when a count went down.
bool increase(const HistogramCounts& from, const HistogramCounts& to, Buckets& sum) {
  const HistogramLayout* const layout = to.layout();
  sum.size = layout == nullptr ? 0 : layout->bounds.size();
  if (layout == nullptr) return true;
  const std::size_t bounds = sum.size;
  std::fill_n(sum.counts.begin(), bounds, 0.0);
  const auto& old_groups = from.layout()->groups;
  for (std::size_t g = 0; g < layout->groups.size(); ++g) {
    std::size_t old = g;
    if (from.layout() != layout) {
      const auto at = std::find(old_groups.begin(), old_groups.end(), layout->groups[g]);
      if (at == old_groups.end()) continue;
      old = static_cast<std::size_t>(at - old_groups.begin());
    }
    for (std::size_t b = 0; b < bounds; ++b) {
      const double more = to.count(g * bounds + b) - from.count(old * bounds + b);
      if (std::isnan(more)) continue;  // not exposed for this group
      if (more < 0) return false;
      sum.counts[b] += more;
    }
  }
  for (std::size_t b = bounds; b-- > 1;) {
    sum.counts[b] = std::max(0.0, sum.counts[b] - sum.counts[b - 1]);
  }
  return true;
}

bool same_bounds(const HistogramCounts& a, const HistogramCounts& b) {
  if (a.layout() == b.layout()) return true;
  return a.plan && b.plan && a.layout()->bounds == b.layout()->bounds;
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

std::optional<Step> History::step(const NodeSample& from, const NodeSample& to) {
  if (to.measured_ms <= from.measured_ms) return std::nullopt;
  std::optional<Step> step(std::in_place);  // returned where it is made: it is large
  Step& made = *step;
  made.from_ms = from.measured_ms;
  made.to_ms = to.measured_ms;
  for (std::size_t kind = 0; kind < kHistograms; ++kind) {
    if (!same_bounds(from.histograms[kind], to.histograms[kind])) return std::nullopt;
    if (!increase(from.histograms[kind], to.histograms[kind], made.buckets[kind])) {
      return std::nullopt;
    }
  }
  for (std::size_t i = 0; i < kCounters; ++i) {
    made.counters[i] = static_cast<float>(to.counters[i] - from.counters[i]);
    if (made.counters[i] < 0) return std::nullopt;
  }
  return step;
}

void History::add(NodeSample sample) {
  if (last_ && sample.measured_ms == last_->measured_ms) return;
  std::optional<Step> made;
  if (last_) made = step(*last_, sample);
  if (made) {
    remember(*made, sample);
    steps_.add(*made);
  } else {
    steps_.clear();
  }
  if (last_ && sample.measured_ms < last_->measured_ms - kGapMs) {
    cpu_.clear();
    memory_.clear();
    runqueue_.clear();
  }
  last_ = std::move(sample);
}

void History::remember(const Step& step, const NodeSample& sample) {
  if (step.to_ms - step.from_ms > kGapMs) return;
  const double seconds = static_cast<double>(step.to_ms - step.from_ms) / 1e3;
  const auto per_second = [&](Counter counter) {
    return per_cpu(known(static_cast<double>(step.counters[counter]) / seconds), sample.cpus);
  };
  if (const auto value = share(per_second(kCpuUsage))) cpu_.add(step.to_ms, seconds, *value);
  if (const auto value = memory_utilization(sample)) memory_.add(step.to_ms, seconds, *value);
  if (const auto value = per_second(kRunqueueWait)) runqueue_.add(step.to_ms, *value);
}

Derived::Window History::window(const StepSums& sums) const {
  Derived::Window window;
  if (sums.steps == 0) return window;
  const auto rate = [&](Counter counter) -> std::optional<double> {
    if (!steps_.has(counter)) return std::nullopt;
    return sums.increase[counter] / sums.seconds[counter];
  };
  const auto p95 = [&](HistogramKind kind) -> std::optional<double> {
    const HistogramLayout* const layout = last_->histograms[kind].layout();
    if (layout == nullptr) return std::nullopt;
    std::array<double, kMaxBounds> cumulative;
    const std::size_t bounds = layout->bounds.size();
    std::partial_sum(sums.buckets[kind].begin(),
                     sums.buckets[kind].begin() + static_cast<std::ptrdiff_t>(bounds),
                     cumulative.begin());
    return histogram_quantile(0.95, layout->bounds, std::span(cumulative).first(bounds));
  };
  const auto waited = rate(kRunqueueWait), throttled = rate(kThrottledWait);
  window.cpu_utilization = share(per_cpu(rate(kCpuUsage), last_->cpus));
  window.runqueue_wait = per_cpu(waited, last_->cpus);
  if (waited && throttled) {
    window.contention = per_cpu(std::max(0.0, *waited - *throttled), last_->cpus);
  }
  window.memory_stall = share(rate(kMemoryWaiting));
  window.io_stall = share(rate(kIoWaiting));
  window.runqueue_wait_p95 = p95(kRunqueueHistogram);
  window.block_io_latency_p95 = p95(kBlockIoHistogram);
  const auto sent = rate(kSegmentsSent), again = rate(kSegmentsRetransmitted);
  if (sent && again && *sent > 0) window.network_loss = share(*again / *sent);
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
  const std::array windows{Steps::kShortMs, Steps::kMediumMs, Steps::kLongMs};
  steps_.windows(windows, [&](std::size_t i, const StepSums& sums) {
    (i == 0 ? derived.w15s : i == 1 ? derived.w1m : derived.w5m) = window(sums);
    if (i != 1 || sums.steps == 0) return;
    for (std::size_t r = 0; r < kRates; ++r) {
      if (steps_.has(static_cast<Counter>(r))) {
        derived.rate_1m[r] = sums.increase[r] / sums.seconds[r];
      }
    }
  });
  derived.cpu = past(cpu_);
  derived.memory = past(memory_);
  derived.runqueue_wait_max_1h = runqueue_.over_hour(last_->measured_ms);
  return derived;
}

}  // namespace optipod::aggregator
