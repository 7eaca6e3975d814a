// SPDX-License-Identifier: Apache-2.0
#include "aggregator/moments.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>

namespace optipod::aggregator {
namespace {

float narrow(double value) {
  constexpr double kMax = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(value, -kMax, kMax));
}

// Bits of packed moments, and steps that what they count is divided into.
constexpr unsigned kShareBits = 20, kWeightBits = 13, kScatterBits = 16, kTimeBits = 11;
constexpr double kShares = (1U << kShareBits) - 1, kWeights = 3'750, kTimes = 1U << kTimeBits;
// A scatter is kept as a float's upper bits, less those of the least that is kept.
constexpr unsigned kScatterShift = 12;
/// Where the time begins in the first 64 bits; its upper ones are behind the weight, in the
/// last 16.
constexpr unsigned kTimeAt = 2 * kShareBits + kScatterBits;
static_assert(kTimeAt + kTimeBits + kWeightBits == 80);
constexpr float kLeastScatter = 0x1p-31F;

/// `value` in steps, of so many bits at most.
std::uint64_t steps_of(double value, double steps, unsigned bits) {
  return static_cast<std::uint64_t>(
      std::clamp(std::round(value * steps), 0.0, static_cast<double>((1U << bits) - 1)));
}

/// Of scatter by a second of the bucket's width, which is below 2.
std::uint64_t scatter_bits(float scatter) {
  constexpr std::uint32_t kHalf = 1U << (kScatterShift - 1), kMost = (1U << kScatterBits) - 1;
  if (!(scatter >= kLeastScatter)) return 0;
  const std::uint32_t above =
      std::bit_cast<std::uint32_t>(scatter) - std::bit_cast<std::uint32_t>(kLeastScatter);
  return std::clamp((above + kHalf) >> kScatterShift, 1U, kMost);
}

float scatter_of(std::uint64_t bits) {
  if (bits == 0) return 0;
  return std::bit_cast<float>((static_cast<std::uint32_t>(bits) << kScatterShift) +
                              std::bit_cast<std::uint32_t>(kLeastScatter));
}

constexpr std::int64_t kHourMinutes = Trend::kHourMs / Trend::kMinuteMs;
constexpr double kLevelSeconds = 15 * 60;
/// 60 s × (0.9 + 0.9² + … + 0.9^15)
constexpr double kDampedSeconds = 60 * 0.9 * (1 - 0.20589113209464907) / (1 - 0.9);

/// A bucket as the forecast counts it.
struct Part {
  double mean, at_s;  ///< the time from the newest bucket's start: negative
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
  std::array<double, kHourMinutes / 2> slopes;
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
  const auto of_width = [](float value) { return static_cast<double>(value) / kWidth; };
  std::uint64_t weight = steps_of(of_width(moments.seconds), kWeights, kWeightBits);
  if (moments.seconds > 0) weight = std::max(weight, std::uint64_t{1});  // 0 is an empty bucket
  const std::uint64_t time = steps_of(of_width(moments.centre_s), kTimes, kTimeBits);
  const std::uint64_t all =
      steps_of(static_cast<double>(moments.mean), kShares, kShareBits) |
      steps_of(static_cast<double>(moments.peak), kShares, kShareBits) << kShareBits |
      scatter_bits(narrow(of_width(moments.scatter))) << 2 * kShareBits | time << kTimeAt;
  std::memcpy(bits_.data(), &all, sizeof all);
  bits_.back() = static_cast<std::uint16_t>(weight | time >> (64 - kTimeAt) << kWeightBits);
}

template <std::int64_t kWidthMs>
PackedMoments<kWidthMs>::operator Moments() const {
  constexpr double kWidth = static_cast<double>(kWidthMs) / 1e3;
  std::uint64_t all = 0;
  std::memcpy(&all, bits_.data(), sizeof all);
  const auto bits = [&](unsigned at, unsigned count) {
    return all >> at & ((std::uint64_t{1} << count) - 1);
  };
  const auto share = [&](unsigned at) {
    return static_cast<float>(static_cast<double>(bits(at, kShareBits)) / kShares);
  };
  const std::uint64_t time = all >> kTimeAt | std::uint64_t{bits_.back()} >> kWeightBits
                                                                                 << (64 - kTimeAt);
  const std::uint64_t weight = bits_.back() & ((1U << kWeightBits) - 1);
  const auto of_width = [](std::uint64_t steps, double all_steps) {
    return static_cast<float>(static_cast<double>(steps) * (kWidth / all_steps));
  };
  return {.seconds = of_width(weight, kWeights),
          .mean = share(0),
          .scatter = scatter_of(bits(2 * kShareBits, kScatterBits)) * static_cast<float>(kWidth),
          .peak = share(kShareBits),
          .centre_s = of_width(time, kTimes)};
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
    outlook_ = look_ahead();
  }
  if (coarse_.newest() != hour) whole_[kDay] = whole_of<kCoarseMs>(coarse_, kLengthMs[kDay]);
}

void Trend::clear() {
  fine_.clear();
  coarse_.clear();
  whole_.fill({});
  outlook_ = {};
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

Trend::Outlook Trend::look_ahead() const {
  std::array<Part, kHourMinutes> all;
  std::size_t count = 0;
  for (std::int64_t back = kHourMinutes; back > 0; --back) {
    const Moments cell = fine_.closed(back);
    if (!(cell.seconds > 0)) continue;
    const double start_s = -static_cast<double>(back * kFineMs) / 1e3;
    all[count++] = {static_cast<double>(cell.mean), start_s + static_cast<double>(cell.centre_s)};
  }
  const auto parts = std::span(all).first(count);
  const double trend = slope(parts);
  std::array<double, kHourMinutes> levels;
  std::size_t recent = 0;
  for (const Part& part : parts) {
    if (part.at_s >= -kLevelSeconds) levels[recent++] = part.mean - trend * part.at_s;
  }
  const double level = recent > 0 ? median(std::span(levels).first(recent))
                                  : static_cast<double>(whole_[kHour].mean);
  return {.level = narrow(level), .per_second = narrow(trend)};
}

std::optional<double> Trend::forecast(std::int64_t time_ms) const {
  const MomentSums hour = sums(time_ms, kHourMs);
  if (hour.seconds * 1e3 < static_cast<double>(kHorizonMs)) return std::nullopt;
  const double since_s = static_cast<double>(time_ms - fine_.newest() * kFineMs) / 1e3;
  return static_cast<double>(outlook_.level) +
         static_cast<double>(outlook_.per_second) * (since_s + kDampedSeconds);
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
