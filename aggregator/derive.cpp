// SPDX-License-Identifier: Apache-2.0
#include "aggregator/derive.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

namespace optipod::aggregator {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Quantity {
  std::string_view name;
  std::int64_t max_age_ms;
  std::optional<double> (*value)(const Derived&);
};
constexpr std::int64_t kShort = History::kShortMs, kLong = History::kLongMs;
constexpr std::array kQuantities{
    Quantity{"optipod:node_cpus:last", kShort, [](const Derived& d) { return d.cpus; }},
    Quantity{"optipod:node_cpu_utilization:mean_15s", kShort,
             [](const Derived& d) { return d.w15s.cpu_utilization; }},
    Quantity{"optipod:node_cpu_utilization:mean_1m", kLong,
             [](const Derived& d) { return d.w1m.cpu_utilization; }},
    Quantity{"optipod:node_cpu_runqueue_wait:mean_15s", kShort,
             [](const Derived& d) { return d.w15s.runqueue_wait; }},
    Quantity{"optipod:node_cpu_runqueue_wait:mean_1m", kLong,
             [](const Derived& d) { return d.w1m.runqueue_wait; }},
    Quantity{"optipod:node_cpu_runqueue_wait_seconds:p95_15s", kShort,
             [](const Derived& d) { return d.w15s.runqueue_wait_p95; }},
    Quantity{"optipod:node_cpu_runqueue_wait_seconds:p95_1m", kLong,
             [](const Derived& d) { return d.w1m.runqueue_wait_p95; }},
    Quantity{"optipod:node_memory_utilization:last", kShort,
             [](const Derived& d) { return d.memory_utilization; }},
    Quantity{"optipod:node_memory_bytes:last", kShort,
             [](const Derived& d) { return d.memory_bytes; }},
    Quantity{"optipod:node_memory_stall:mean_15s", kShort,
             [](const Derived& d) { return d.w15s.memory_stall; }},
    Quantity{"optipod:node_memory_stall:mean_1m", kLong,
             [](const Derived& d) { return d.w1m.memory_stall; }},
    Quantity{"optipod:node_io_stall:mean_15s", kShort,
             [](const Derived& d) { return d.w15s.io_stall; }},
    Quantity{"optipod:node_io_stall:mean_1m", kLong,
             [](const Derived& d) { return d.w1m.io_stall; }},
    Quantity{"optipod:node_block_io_latency_seconds:p95_15s", kShort,
             [](const Derived& d) { return d.w15s.block_io_latency_p95; }},
    Quantity{"optipod:node_block_io_latency_seconds:p95_1m", kLong,
             [](const Derived& d) { return d.w1m.block_io_latency_p95; }},
    Quantity{"optipod:node_block_io_inflight:last", kShort,
             [](const Derived& d) { return d.inflight; }},
};
constexpr std::string_view kUpName = "optipod:node_up:last";

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
            .runqueue = increase(from.runqueue, to.runqueue),
            .block_io = increase(from.block_io, to.block_io)};
  if (made.cpu_usage < 0 || made.runqueue_wait < 0 || made.memory_waiting < 0 ||
      made.io_waiting < 0 || went_down(made.runqueue) || went_down(made.block_io)) {
    return std::nullopt;
  }
  return made;
}

void History::add(NodeSample sample) {
  if (last_ && sample.measured_ms == last_->measured_ms) return;
  std::optional<Step> made;
  if (last_) made = step(*last_, sample);
  if (made) {
    steps_.push_back(std::move(*made));
  } else {
    steps_.clear();
  }
  const std::int64_t oldest = sample.measured_ms - kLongMs;
  while (!steps_.empty() && (steps_.front().from_ms < oldest || steps_.size() > kMaxSteps)) {
    steps_.pop_front();
  }
  last_ = std::move(sample);
}

Derived::Window History::window(std::int64_t length_ms) const {
  Derived::Window window;
  if (!last_ || steps_.empty()) return window;
  const std::int64_t since = last_->measured_ms - length_ms;
  auto first = steps_.end();
  while (first != steps_.begin() && std::prev(first)->from_ms >= since) --first;
  if (first == steps_.end()) return window;

  // Increase per second, over the steps that have the quantity; the newest must have it.
  const auto rate = [&](double Step::*quantity) -> std::optional<double> {
    if (std::isnan(steps_.back().*quantity)) return std::nullopt;
    double sum = 0, seconds = 0;
    for (auto s = first; s != steps_.end(); ++s) {
      if (std::isnan((*s).*quantity)) continue;
      sum += (*s).*quantity;
      seconds += static_cast<double>(s->to_ms - s->from_ms) / 1e3;
    }
    return sum / seconds;
  };
  const auto p95 = [&](std::vector<float> Step::*quantity,
                       const HistogramCounts& newest) -> std::optional<double> {
    const std::size_t bounds = (steps_.back().*quantity).size();
    if (bounds == 0) return std::nullopt;
    std::vector<double> sum(bounds, 0.0);
    for (auto s = first; s != steps_.end(); ++s) {
      const std::vector<float>& more = (*s).*quantity;
      for (std::size_t b = 0; b < more.size() && b < bounds; ++b)
        sum[b] += static_cast<double>(more[b]);
    }
    return histogram_quantile(0.95, newest.layout->bounds, sum);
  };

  const auto per_cpu = [&](const std::optional<double>& value) -> std::optional<double> {
    if (!value || !last_->cpus || !(*last_->cpus > 0)) return std::nullopt;
    return *value / *last_->cpus;
  };
  window.cpu_utilization = share(per_cpu(rate(&Step::cpu_usage)));
  window.runqueue_wait = per_cpu(rate(&Step::runqueue_wait));
  window.memory_stall = share(rate(&Step::memory_waiting));
  window.io_stall = share(rate(&Step::io_waiting));
  window.runqueue_wait_p95 = p95(&Step::runqueue, last_->runqueue);
  window.block_io_latency_p95 = p95(&Step::block_io, last_->block_io);
  return window;
}

Derived History::derive() const {
  Derived derived;
  if (!last_) return derived;
  derived.cpus = last_->cpus;
  derived.memory_bytes = last_->memory_total;
  derived.inflight = last_->inflight;
  if (last_->memory_total && last_->memory_available && *last_->memory_total > 0) {
    derived.memory_utilization = share(1.0 - *last_->memory_available / *last_->memory_total);
  }
  derived.w15s = window(kShortMs);
  derived.w1m = window(kLongMs);
  return derived;
}

DerivedSeries::DerivedSeries(std::string_view node) {
  SchemaBuilder builder;
  const std::vector<text::Label> labels{{.name = "node", .value = node}};
  for (const Quantity& quantity : kQuantities) builder.add(quantity.name, labels, true);
  builder.add(kUpName, labels, true);
  schema_ = builder.finish().value_or(nullptr);  // cannot fail: the names above differ
}

SeriesSet DerivedSeries::make(const Derived& derived, bool up, std::int64_t measured_ms,
                              std::int64_t scraped_ms) const {
  SeriesSet set{.schema = schema_, .scraped_ms = scraped_ms, .measured_ms = measured_ms};
  for (const Quantity& quantity : kQuantities) {
    const std::optional<double> value = quantity.value(derived);
    set.values.push_back(value && std::isfinite(*value) ? *value : stale());
    set.max_age_ms.push_back(quantity.max_age_ms);
  }
  set.values.push_back(up ? 1 : 0);
  set.max_age_ms.push_back(std::numeric_limits<std::int64_t>::max());
  set.own_ms.assign(set.values.size(), kNoTime);
  if (!up) set.own_ms.back() = scraped_ms;
  return set;
}

}  // namespace optipod::aggregator
