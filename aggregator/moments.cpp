// SPDX-License-Identifier: Apache-2.0
#include "aggregator/moments.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace optipod::aggregator {
namespace {

float narrow(double value) {
  constexpr double kMax = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(value, -kMax, kMax));
}

constexpr double kWeights = 30'000, kTimes = 4'096;
constexpr unsigned kScatterShift = 11;  // of a float's bits: no sign, 8 of exponent, 12 of mantissa

/// `value` in steps, at most `most` - 1.
std::uint32_t steps_of(double value, double step, double most) {
  return static_cast<std::uint32_t>(std::clamp(std::round(value / step), 0.0, most - 1));
}

/// A bucket as the forecast counts it.
struct Part {
  double mean, at_s;
};

/// The buckets of a window that hold something. Bounded by the largest ring.
class Parts {
 public:
  template <class Buckets>
  Parts(const Buckets& buckets, std::int64_t time_ms, std::int64_t length_ms) {
    buckets.each(time_ms, length_ms, [&](const Moments& cell, std::int64_t start_ms, double) {
      if (!(cell.seconds > 0)) return;
      const double at_s =
          static_cast<double>(start_ms - time_ms) / 1e3 + static_cast<double>(cell.centre_s);
      parts_[count_++] = {static_cast<double>(cell.mean), at_s};
    });
  }

  [[nodiscard]] std::span<const Part> parts() const { return std::span(parts_).first(count_); }

 private:
  std::array<Part, 61> parts_;  // the first count_ are set
  std::size_t count_ = 0;
};

/// The window (time_ms − length_ms, time_ms]: from `whole`, when it ends in the newest bucket.
template <std::int64_t kWidthMs, class Buckets>
MomentSums sums_of(const Buckets& buckets, const Moments* whole, std::int64_t time_ms,
                   std::int64_t length_ms) {
  MomentSums sums;
  if (whole != nullptr && buckets.ends_in_newest(time_ms)) {
    const std::int64_t oldest = length_ms / kWidthMs;
    const double share = buckets.share(oldest, time_ms - length_ms);
    if (share > 0) sums.add(buckets.closed(oldest), share);
    sums.add(*whole);
    sums.add(buckets.open());
    return sums;
  }
  buckets.each(time_ms, length_ms,
               [&](const Moments& cell, std::int64_t, double share) { sums.add(cell, share); });
  return sums;
}

template <std::int64_t kWidthMs, class Buckets>
Moments whole_of(const Buckets& buckets, std::int64_t length_ms) {
  MomentSums sums;
  buckets.each_closed(length_ms / kWidthMs - 1, [&](const Moments& cell) { sums.add(cell); });
  return {.seconds = narrow(sums.seconds),
          .mean = narrow(sums.mean),
          .scatter = narrow(sums.scatter),
          .peak = narrow(sums.peak)};
}

constexpr std::int64_t kHourMinutes = Trend::kHourMs / Trend::kMinuteMs;
constexpr double kLevelSeconds = 15 * 60;
/// 60 s × (0.9 + 0.9² + … + 0.9^15)
constexpr double kDampedSeconds = 60 * 0.9 * (1 - 0.20589113209464907) / (1 - 0.9);

/// Reorders them; there is one at least.
double median(std::span<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

/// Per second; 0 of a single part.
double slope(std::span<const Part> parts) {
  const std::size_t half = (parts.size() + 1) / 2;
  std::array<double, 31> slopes;
  std::size_t count = 0;
  for (std::size_t i = 0; i + half < parts.size(); ++i) {
    const double seconds = parts[i + half].at_s - parts[i].at_s;
    if (seconds > 0) slopes[count++] = (parts[i + half].mean - parts[i].mean) / seconds;
  }
  return count > 0 ? median(std::span(slopes).first(count)) : 0;
}

}  // namespace

void Moments::add(double at_s, double weight, double value) {
  const double before = static_cast<double>(seconds), all = before + weight;
  const double part = weight / all;
  const double off = value - static_cast<double>(mean);
  peak = before > 0 ? std::max(peak, narrow(value)) : narrow(value);
  scatter = narrow(static_cast<double>(scatter) + off * off * before * part);
  mean = narrow(static_cast<double>(mean) + off * part);
  centre_s = narrow(static_cast<double>(centre_s) + (at_s - static_cast<double>(centre_s)) * part);
  seconds = narrow(all);
}

template <std::int64_t kWidthMs>
PackedMoments<kWidthMs>::PackedMoments(const Moments& moments) {
  constexpr double kWidth = static_cast<double>(kWidthMs) / 1e3;
  constexpr std::uint32_t kHalf = 1U << (kScatterShift - 1);
  const std::uint32_t weight =
      steps_of(static_cast<double>(moments.seconds), kWidth / kWeights, 65'536);
  const std::uint32_t time =
      steps_of(static_cast<double>(moments.centre_s), kWidth / kTimes, kTimes);
  const std::uint32_t scatter =
      std::min((std::bit_cast<std::uint32_t>(moments.scatter) + kHalf) >> kScatterShift,
               std::bit_cast<std::uint32_t>(std::numeric_limits<float>::max()) >> kScatterShift);
  const auto mean = std::bit_cast<std::uint32_t>(moments.mean);
  const auto peak = std::bit_cast<std::uint32_t>(moments.peak);
  const auto half = [](std::uint32_t bits) { return static_cast<std::uint16_t>(bits); };
  bits_ = {half(mean),
           half(mean >> 16),
           half(peak),
           half(peak >> 16),
           half(weight),
           half(scatter),
           half(time << 4 | scatter >> 16)};
}

template <std::int64_t kWidthMs>
PackedMoments<kWidthMs>::operator Moments() const {
  constexpr double kWidth = static_cast<double>(kWidthMs) / 1e3;
  const auto whole = [this](std::size_t i) {
    return std::uint32_t{bits_[i]} | std::uint32_t{bits_[i + 1]} << 16;
  };
  const std::uint32_t scatter = (whole(5) & 0xf'ffffU) << kScatterShift;
  return {.seconds = static_cast<float>(bits_[4] * (kWidth / kWeights)),
          .mean = std::bit_cast<float>(whole(0)),
          .scatter = std::bit_cast<float>(scatter),
          .peak = std::bit_cast<float>(whole(2)),
          .centre_s = static_cast<float>((bits_[6] >> 4) * (kWidth / kTimes))};
}

void MomentSums::add(const Moments& more, double share) {
  if (!(more.seconds > 0)) return;
  const double weight = share * static_cast<double>(more.seconds), all = seconds + weight;
  const double off = static_cast<double>(more.mean) - mean, part = weight / all;
  peak =
      seconds > 0 ? std::max(peak, static_cast<double>(more.peak)) : static_cast<double>(more.peak);
  scatter += share * static_cast<double>(more.scatter) + off * off * seconds * part;
  mean += off * part;
  seconds = all;
}

void Trend::add(std::int64_t time_ms, double seconds, double value) {
  const auto put = [&](auto place) {
    place.cell.add(static_cast<double>(time_ms - place.start_ms) / 1e3, seconds, value);
  };
  const std::int64_t minute = fine_.newest(), hour = coarse_.newest();
  put(fine_.at(time_ms));
  put(coarse_.at(time_ms));
  if (fine_.newest() != minute) {
    whole_[kQuarterHour] = whole_of<kFineMs>(fine_, kLengthMs[kQuarterHour]);
    whole_[kHour] = whole_of<kFineMs>(fine_, kLengthMs[kHour]);
  }
  if (coarse_.newest() != hour) whole_[kDay] = whole_of<kCoarseMs>(coarse_, kLengthMs[kDay]);
}

void Trend::clear() {
  fine_.clear();
  coarse_.clear();
  whole_.fill({});
}

MomentSums Trend::sums(std::int64_t time_ms, std::int64_t length_ms) const {
  const auto known = std::find(kLengthMs.begin(), kLengthMs.end(), length_ms);
  const Moments* const whole = known != kLengthMs.end()
                                   ? &whole_[static_cast<std::size_t>(known - kLengthMs.begin())]
                                   : nullptr;
  return length_ms <= Fine::kSpanMs ? sums_of<kFineMs>(fine_, whole, time_ms, length_ms)
                                    : sums_of<kCoarseMs>(coarse_, whole, time_ms, length_ms);
}

std::optional<WindowMoments> Trend::over(std::int64_t time_ms, std::int64_t length_ms) const {
  const MomentSums all = sums(time_ms, length_ms);
  if (!(all.seconds > 0)) return std::nullopt;
  return WindowMoments{
      .mean = all.mean,
      .stddev = std::sqrt(all.scatter / all.seconds),
      .peak = all.peak,
      .covered = std::min(1.0, all.seconds * 1e3 / static_cast<double>(length_ms))};
}

std::optional<double> Trend::forecast(std::int64_t time_ms) const {
  const MomentSums hour = sums(time_ms, kHourMs);
  if (hour.seconds * 1e3 < static_cast<double>(kHorizonMs)) return std::nullopt;
  const Parts parts(fine_, time_ms, kHourMs);
  const double trend = slope(parts.parts());
  std::array<double, 61> levels;
  std::size_t count = 0;
  for (const Part& part : parts.parts()) {
    if (part.at_s >= -kLevelSeconds) levels[count++] = part.mean - trend * part.at_s;
  }
  const double level = count > 0 ? median(std::span(levels).first(count)) : hour.mean;
  return level + trend * kDampedSeconds;
}

void Peak::add(std::int64_t time_ms, double value) {
  const std::int64_t before = buckets_.newest();
  float& peak = buckets_.at(time_ms).cell.peak;
  peak = std::max(peak, narrow(value));
  if (buckets_.newest() == before) return;
  closed_ = Cell{}.peak;
  buckets_.each_closed(kHourMinutes - 1,
                       [this](const Cell& cell) { closed_ = std::max(closed_, cell.peak); });
}

std::optional<double> Peak::over_hour(std::int64_t time_ms) const {
  float peak = Cell{}.peak;
  const auto count = [&peak](const Cell& cell) { peak = std::max(peak, cell.peak); };
  if (buckets_.ends_in_newest(time_ms)) {
    peak = std::max(closed_, buckets_.open().peak);
    const bool oldest = buckets_.share(kHourMinutes, time_ms - Trend::kHourMs) > 0;
    if (oldest) count(buckets_.closed(kHourMinutes));
  } else {
    buckets_.each(time_ms, Trend::kHourMs,
                  [&](const Cell& cell, std::int64_t, double) { count(cell); });
  }
  return peak < 0 ? std::nullopt : std::optional(static_cast<double>(peak));
}

}  // namespace optipod::aggregator
