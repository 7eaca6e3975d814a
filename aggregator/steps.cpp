// SPDX-License-Identifier: Apache-2.0
#include "aggregator/steps.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace optipod::aggregator {
namespace {

constexpr double kMaxKept = 65'535;

/// Width of the cells of time in which steps of that age become one.
std::int64_t cell_ms(std::int64_t age_ms) {
  if (age_ms >= Steps::kMediumMs) return 30'000;
  return age_ms >= Steps::kShortMs ? 10'000 : 500;
}

int shift_of(std::span<const double> counts) {
  const double most = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
  return most > kMaxKept ? std::min(std::ilogb(most / kMaxKept) + 1, 255) : 0;
}

}  // namespace

void Steps::clear() {
  kept_.clear();
  size_ = 0;
}

bool Steps::has(Counter counter) const {
  return size_ > 0 && !std::isnan(kept_counter(newest_, counter));
}

void Steps::add(const Step& step) {
  const std::int64_t length = step.to_ms - step.from_ms;
  if (length > kLongMs) return clear();  // it begins before all that is kept
  if (empty()) {
    for (std::size_t kind = 0; kind < kHistograms; ++kind)
      bounds_[kind] = static_cast<std::uint8_t>(step.buckets[kind].size);
  }
  newest_ms_ = step.to_ms;
  const Encoded fresh =
      encode(length, step.counters, {step.buckets[0].all(), step.buckets[1].all()});
  if (kept_.size() + fresh.size > kept_.capacity()) {
    constexpr std::size_t kAtOnce = 128;  // units: there are thousands of these
    kept_.reserve(kept_.size() + std::max(fresh.size, kAtOnce));
  }
  kept_.insert(kept_.end(), fresh.units.begin(),
               fresh.units.begin() + static_cast<std::ptrdiff_t>(fresh.size));
  ++size_;
  thin();
}

std::array<Steps::Place, Steps::kMaxSteps + 1> Steps::find() const {
  std::array<Place, kMaxSteps + 1> places;
  Place at = 0;
  for (std::size_t i = 0; i < size_; at += units(at)) places[i++] = at;
  return places;
}

Steps::Encoded Steps::encode(std::int64_t length_ms, const PerCounter<float>& counters,
                             const Counts& buckets) const {
  Encoded made;
  std::memcpy(&made.units[kCountersAt], counters.data(), kCounters * sizeof(float));
  made.size = kMaskAt + mask_units();
  std::fill_n(&made.units[kShiftsAt], made.size - kShiftsAt, std::uint16_t{0});
  std::size_t bit = 0;
  for (std::size_t kind = 0; kind < kHistograms; ++kind) {
    const int shift = shift_of(buckets[kind]);
    made.units[kShiftsAt] |= static_cast<std::uint16_t>(shift << (8 * kind));
    const double unit = std::ldexp(1.0, -shift);
    for (const double count : buckets[kind]) {
      const auto kept = static_cast<std::uint16_t>(std::min(kMaxKept, std::round(count * unit)));
      if (kept != 0) {
        made.units[kMaskAt + bit / 16] |= static_cast<std::uint16_t>(1U << bit % 16);
        made.units[made.size++] = kept;
      }
      ++bit;
    }
  }
  static_assert(kLongMs < 1 << kLengthBits && kMostUnits < 1U << (32 - kLengthBits));
  const auto head =
      static_cast<std::uint32_t>(made.size << kLengthBits) | static_cast<std::uint32_t>(length_ms);
  std::memcpy(made.units.data(), &head, sizeof head);
  return made;
}

void Steps::add_to(StepSums& sums, Place step) const {
  const double length = static_cast<double>(length_ms(step)) / 1e3;
  for (std::size_t c = 0; c < kCounters; ++c) {
    const auto more = static_cast<double>(kept_counter(step, c));
    if (std::isnan(more)) continue;
    sums.increase[c] += more;
    sums.seconds[c] += length;
  }
  const unsigned shifts = kept_[step + kShiftsAt];
  const std::array<double, kHistograms> unit{std::ldexp(1.0, static_cast<int>(shifts & 0xffU)),
                                             std::ldexp(1.0, static_cast<int>(shifts >> 8))};
  const std::uint16_t* count = &kept_[step + kMaskAt] + mask_units();
  for (std::size_t i = 0; i < mask_units(); ++i) {
    for (unsigned mask = kept_[step + kMaskAt + i]; mask != 0; mask &= mask - 1) {
      const std::size_t bit = 16 * i + static_cast<std::size_t>(std::countr_zero(mask));
      const std::size_t kind = bit < bounds_[0] ? 0 : 1;
      sums.buckets[kind][kind == 0 ? bit : bit - bounds_[0]] += unit[kind] * *count++;
    }
  }
  ++sums.steps;
}

bool Steps::alike(Place a, Place b) const {
  for (std::size_t c = 0; c < kCounters; ++c) {
    if (std::isnan(kept_counter(a, c)) != std::isnan(kept_counter(b, c))) return false;
  }
  return true;
}

void Steps::merge_with_next(Place step) {
  const Place next = step + units(step);
  StepSums both;
  add_to(both, step);
  add_to(both, next);
  PerCounter<float> counters;
  for (std::size_t c = 0; c < kCounters; ++c)
    counters[c] = kept_counter(next, c) + kept_counter(step, c);
  const auto counts = [&](std::size_t kind) {
    return std::span<const double>(both.buckets[kind]).first(bounds_[kind]);
  };
  const Encoded merged =
      encode(length_ms(step) + length_ms(next), counters, {counts(0), counts(1)});
  // No longer than both were: it has their counters once.
  const auto begin = kept_.begin() + static_cast<std::ptrdiff_t>(step);
  const auto end = begin + static_cast<std::ptrdiff_t>(next - step + units(next));
  kept_.erase(std::copy_n(merged.units.begin(), merged.size, begin), end);
  --size_;
}

/// Leaves one at least. Returns how long the steps are together.
std::int64_t Steps::drop_old() {
  std::int64_t length = 0;
  const auto places = find();
  for (std::size_t i = 0; i < size_; ++i) length += length_ms(places[i]);
  while (size_ > kMaxSteps || length > kLongMs) {
    length -= length_ms(0);
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(units(0)));
    --size_;
  }
  return length;
}

void Steps::thin() {
  std::int64_t age = drop_old();  // of the step's begin
  Place step = 0;
  for (std::size_t i = 0; i + 1 < size_;) {
    const Place next = step + units(step);
    const std::int64_t end_age = age - length_ms(step), next_age = end_age - length_ms(next);
    const auto cell = [&](std::int64_t of_age) {
      return (newest_ms_ - of_age - 1) / cell_ms(next_age);
    };
    if (cell(end_age) == cell(next_age) && alike(step, next)) {
      merge_with_next(step);
    } else {
      age = end_age;
      step = next;
      ++i;
    }
  }
  newest_ = static_cast<std::uint16_t>(step);
}

}  // namespace optipod::aggregator
