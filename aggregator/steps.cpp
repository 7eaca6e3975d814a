// SPDX-License-Identifier: Apache-2.0
#include "aggregator/steps.hpp"

#include <algorithm>
#include <cmath>

namespace optipod::aggregator {
namespace {

constexpr double kMaxKept = 65'535;

/// Width of the cells of time in which steps of that age become one.
std::int64_t cell_ms(std::int64_t age_ms) {
  if (age_ms >= Steps::kMediumMs) return 30'000;
  return age_ms >= Steps::kShortMs ? 10'000 : 500;
}

}  // namespace

void Steps::clear() {
  steps_.clear();
  counts_.clear();
}

bool Steps::has(Counter counter) const {
  return !steps_.empty() && !std::isnan(steps_.back().counters[counter]);
}

void Steps::add(const Step& step) {
  if (steps_.empty()) bounds_ = {step.buckets[0].size(), step.buckets[1].size()};
  if (steps_.size() == steps_.capacity()) {  // a few at a time: there are thousands of these
    steps_.reserve(steps_.size() + 4);
    counts_.reserve((steps_.size() + 4) * stride());
  }
  steps_.push_back({step.from_ms, step.to_ms, {}, step.counters});
  counts_.resize(steps_.size() * stride());
  for (std::size_t kind = 0; kind < kHistograms; ++kind) {
    keep(steps_.size() - 1, kind, step.buckets[kind]);
  }
  thin();
}

void Steps::keep(std::size_t i, std::size_t kind, std::span<const double> counts) {
  const double most = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
  const int shift = most > kMaxKept ? std::ilogb(most / kMaxKept) + 1 : 0;
  steps_[i].shifts[kind] = static_cast<std::uint8_t>(std::min(shift, 255));
  const double unit = std::ldexp(1.0, std::min(shift, 255));
  auto out =
      counts_.begin() + static_cast<std::ptrdiff_t>(i * stride() + (kind == 0 ? 0 : bounds_[0]));
  for (const double count : counts) {
    *out++ = static_cast<std::uint16_t>(std::min(kMaxKept, std::round(count / unit)));
  }
}

void Steps::add_to(StepSums& sums, std::size_t i) const {
  const Kept& step = steps_[i];
  const double length = static_cast<double>(step.to_ms - step.from_ms) / 1e3;
  for (std::size_t c = 0; c < kCounters; ++c) {
    const auto more = static_cast<double>(step.counters[c]);
    if (std::isnan(more)) continue;
    sums.increase[c] += more;
    sums.seconds[c] += length;
  }
  const std::uint16_t* count = counts_.data() + i * stride();
  for (std::size_t kind = 0; kind < kHistograms; ++kind) {
    const double unit = std::ldexp(1.0, step.shifts[kind]);
    for (std::size_t b = 0; b < bounds_[kind]; ++b) sums.buckets[kind][b] += unit * *count++;
  }
  ++sums.steps;
}

bool Steps::alike(std::size_t i, std::size_t k) const {
  const auto &a = steps_[i].counters, &b = steps_[k].counters;
  return std::equal(a.begin(), a.end(), b.begin(),
                    [](float x, float y) { return std::isnan(x) == std::isnan(y); });
}

void Steps::merge_into_next(std::size_t i) {
  StepSums both;
  add_to(both, i);
  add_to(both, i + 1);
  Kept& next = steps_[i + 1];
  next.from_ms = steps_[i].from_ms;
  for (std::size_t c = 0; c < kCounters; ++c) next.counters[c] += steps_[i].counters[c];
  for (std::size_t kind = 0; kind < kHistograms; ++kind) {
    keep(i + 1, kind, std::span(both.buckets[kind]).first(bounds_[kind]));
  }
  erase(i);
}

void Steps::erase(std::size_t i) {
  const auto at = static_cast<std::ptrdiff_t>(i), width = static_cast<std::ptrdiff_t>(stride());
  steps_.erase(steps_.begin() + at);
  counts_.erase(counts_.begin() + at * width, counts_.begin() + (at + 1) * width);
}

void Steps::thin() {
  const std::int64_t now = steps_.back().to_ms;
  while (steps_.size() > kMaxSteps || steps_.front().from_ms < now - kLongMs) {
    erase(0);
    if (steps_.empty()) return;
  }
  for (std::size_t i = 0; i + 1 < steps_.size();) {
    const std::int64_t width = cell_ms(now - steps_[i + 1].to_ms);
    const bool one_cell = (steps_[i].to_ms - 1) / width == (steps_[i + 1].to_ms - 1) / width;
    if (one_cell && alike(i, i + 1)) {
      merge_into_next(i);
    } else {
      ++i;
    }
  }
}

}  // namespace optipod::aggregator
