// SPDX-License-Identifier: Apache-2.0
// What buckets say of a window, beside what PromQL's definitions give over the samples themselves.
#include "aggregator/moments.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "tests/support/catch.hpp"

using namespace optipod::aggregator;

namespace {

constexpr std::int64_t kMinute = Trend::kMinuteMs, kHour = Trend::kHourMs;

struct Sample {
  std::int64_t ms;
  double value;
};

/// PromQL's avg_over_time, stddev_over_time and max_over_time, from their definitions: samples in
/// (now − length, now], all of one weight.
struct Reference {
  double mean = 0, stddev = 0, peak = 0;
  std::size_t samples = 0;

  Reference(const std::vector<Sample>& all, std::int64_t now, std::int64_t length) {
    std::vector<Sample> in;
    std::copy_if(all.begin(), all.end(), std::back_inserter(in),
                 [&](const Sample& s) { return s.ms > now - length && s.ms <= now; });
    samples = in.size();
    const auto n = static_cast<double>(in.size());
    double squares = 0;
    peak = in.at(0).value;
    for (const Sample& s : in) {
      mean += s.value / n;
      peak = std::max(peak, s.value);
    }
    for (const Sample& s : in) {
      squares += (s.value - mean) * (s.value - mean);
    }
    stddev = std::sqrt(squares / n);
  }
};

/// A load with a daily curve, bursts and noise, one sample every `step_ms` up to `end_ms`.
std::vector<Sample> load(std::int64_t begin_ms, std::int64_t end_ms, std::int64_t step_ms) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> noise(0, 0.2);
  std::vector<Sample> samples;
  for (std::int64_t ms = begin_ms; ms <= end_ms; ms += step_ms) {
    const double day = 0.3 + 0.2 * std::sin(static_cast<double>(ms) / 8.64e7 * 6.283185);
    const double burst = ms / (7 * kMinute) % 5 == 0 ? 0.25 : 0.0;
    samples.push_back({ms, day + burst + noise(random)});
  }
  return samples;
}

Trend trend_of(const std::vector<Sample>& samples, double seconds) {
  Trend trend;
  for (const Sample& s : samples) trend.add(s.ms, seconds, s.value);
  return trend;
}

}  // namespace

TEST_CASE("a few samples, by hand") {
  Trend trend;
  CHECK_FALSE(trend.over(0, kHour).has_value());
  trend.add(10'000, 10, 0.2);
  const auto one = trend.over(10'000, 15 * kMinute);
  CHECK(one->mean == Approx(0.2));
  CHECK(one->stddev == 0);
  CHECK(one->peak == Approx(0.2));
  CHECK(one->covered == Approx(10.0 / 900));

  trend.add(20'000, 10, 0.4);
  trend.add(30'000, 20, 0.9);  // stands for twice the time: (0.2 + 0.4 + 2·0.9) / 4
  const auto all = trend.over(30'000, 15 * kMinute);
  CHECK(all->mean == Approx(0.6));
  // (0.4² + 0.2² + 2·0.3²) / 4 = 0.38 / 4
  CHECK(all->stddev == Approx(std::sqrt(0.095)));
  CHECK(all->peak == Approx(0.9));
  CHECK(trend.over(30'000, 24 * kHour)->covered == Approx(40.0 / 86'400));
}

TEST_CASE("windows that begin on a bucket's edge are PromQL's to a float's precision") {
  const std::int64_t now = 1'790'000'000'000 / kHour * kHour;
  const auto samples = load(now - 30 * kHour, now, 5'000);
  const Trend trend = trend_of(samples, 5);
  for (const std::int64_t length : {15 * kMinute, kHour, 24 * kHour}) {
    const Reference expected(samples, now, length);
    REQUIRE(expected.samples == static_cast<std::size_t>(length / 5'000));
    const auto found = trend.over(now, length);
    REQUIRE(found);
    CHECK(found->mean == Approx(expected.mean).epsilon(1e-5));
    CHECK(found->stddev == Approx(expected.stddev).epsilon(1e-4));
    CHECK(found->peak == Approx(expected.peak).epsilon(1e-6));
    CHECK(found->covered == Approx(1));
  }
}

TEST_CASE("other windows are PromQL's to within a bucket's width") {
  const std::int64_t edge = 1'790'000'000'000 / kHour * kHour;
  for (const std::int64_t off : {1'000, 29'000, 61'000, 17 * 60'000, 29 * 60'000 + 59'000}) {
    const std::int64_t now = edge + off;
    const auto samples = load(now - 30 * kHour, now, 1'000);
    const Trend trend = trend_of(samples, 1);
    for (const std::int64_t length : {15 * kMinute, kHour, 24 * kHour}) {
      const Reference expected(samples, now, length);
      const auto found = trend.over(now, length);
      CHECK(found->mean == Approx(expected.mean).margin(0.01));
      CHECK(found->stddev == Approx(expected.stddev).margin(0.01));
      CHECK(found->peak >= Approx(expected.peak).epsilon(1e-6));
      const std::int64_t width = length <= kHour ? kMinute : kHour;
      CHECK(found->peak <= Approx(Reference(samples, now, length + width).peak).epsilon(1e-6));
      CHECK(found->covered == Approx(1).margin(0.001));
    }
  }
}

TEST_CASE("a window from remembered sums is that of its buckets") {
  const std::int64_t edge = 1'790'000'000'000 / kHour * kHour;
  const auto samples = load(edge - 30 * kHour, edge + 2 * kHour, 5'000);
  Trend trend;
  std::size_t compared = 0;
  for (const Sample& s : samples) {
    trend.add(s.ms, 5, s.value);
    if (s.ms % 35'000 != 0) continue;
    for (const std::int64_t length : {15 * kMinute, kHour, 24 * kHour}) {
      const auto remembered = trend.over(s.ms, length);
      const auto walked = trend.over(s.ms, length - 1);  // of another length nothing is remembered
      REQUIRE((remembered && walked));
      CHECK(remembered->mean == Approx(walked->mean).epsilon(1e-5));
      CHECK(remembered->stddev == Approx(walked->stddev).epsilon(1e-4));
      CHECK(remembered->peak == walked->peak);
      CHECK(remembered->covered == Approx(walked->covered).epsilon(1e-4));
      ++compared;
    }
  }
  CHECK(compared > 9'000);
}

TEST_CASE("of the bucket in which a window begins the share inside counts") {
  Trend trend;  // busy for a minute, then idle; the window begins at 30 s
  for (int s = 1; s <= 930; ++s) trend.add(s * 1'000, 1, s <= 60 ? 1 : 0);
  const auto found = trend.over(930'000, 15 * kMinute);
  CHECK(found->mean == Approx(30.0 / 900));
  CHECK(found->stddev == Approx(std::sqrt(1.0 / 30 * 29 / 30)));
  CHECK(found->peak == 1);
}

TEST_CASE("what has left the window is forgotten, and a gap is not covered") {
  Trend trend;
  for (int minute = 1; minute <= 10; ++minute) trend.add(minute * kMinute, 60, 1);
  trend.add(40 * kMinute, 60, 0.5);
  CHECK(trend.over(40 * kMinute, 15 * kMinute)->peak == Approx(0.5));
  CHECK(trend.over(40 * kMinute, kHour)->peak == Approx(1));
  CHECK(trend.over(40 * kMinute, kHour)->covered == Approx(11.0 / 60));
  CHECK(trend.over(40 * kMinute, kHour)->mean == Approx((10 + 0.5) / 11));
  CHECK_FALSE(trend.over(56 * kMinute, 15 * kMinute).has_value());
  trend.add(26 * kHour, 60, 0.25);
  CHECK(trend.over(26 * kHour, 24 * kHour)->mean == Approx(0.25));
  CHECK(trend.over(26 * kHour, 24 * kHour)->peak == Approx(0.25));
}

TEST_CASE("a year's leap, times before 1970 and times that go back do no harm") {
  Trend trend;
  trend.add(-90'000, 1, 0.1);
  trend.add(-60'000, 1, 0.3);  // the same bucket: (−2 min, −1 min]
  trend.add(-59'999, 1, 0.8);  // the next
  CHECK(trend.over(-59'999, kHour)->mean == Approx(0.4));
  CHECK(trend.over(0, 1 * kMinute)->mean == Approx(0.8));
  trend.add(365 * 24 * kHour, 1, 0.6);
  CHECK(trend.over(365 * 24 * kHour, 24 * kHour)->mean == Approx(0.6));
  trend.add(364 * 24 * kHour, 1, 0.2);  // counts as the newest
  CHECK(trend.over(365 * 24 * kHour, 15 * kMinute)->mean == Approx(0.4));
  trend.clear();
  CHECK_FALSE(trend.over(365 * 24 * kHour, 24 * kHour).has_value());
}

TEST_CASE("a constant has no deviation, however long and whatever its value") {
  for (const double value : {0.0, 0.1, 0.333333333, 1.0}) {
    Trend trend;
    for (int i = 1; i <= 90'000; ++i) trend.add(i * 1'000, 1, value);
    for (const std::int64_t length : {15 * kMinute, kHour, 24 * kHour}) {
      const auto found = trend.over(90'000'000, length);
      CHECK(found->mean == Approx(value));
      CHECK(found->stddev >= 0);
      CHECK(found->stddev < 1e-6);
    }
  }
}

TEST_CASE("forecast: a trend is continued, and dies away") {
  // From 0.10 at 0 s, 0.1 an hour, seen at 45 min: 0.175; 15 minutes ahead count as 428.8 s.
  Trend line;
  for (int s = 5; s <= 2'700; s += 5) line.add(s * 1'000, 5, 0.1 + 0.1 * s / 3600);
  CHECK(*line.forecast(2'700'000) == Approx(0.175 + 0.1 / 3600 * 428.8).epsilon(1e-4));
}

TEST_CASE("forecast: bursts do not move it, a level that stays does") {
  std::mt19937 random(3);
  std::normal_distribution<double> noise(0, 0.02);
  const auto after = [&](int minutes, double burst, int burst_begins, int burst_ends) {
    Trend trend;
    for (int s = 5; s <= minutes * 60; s += 5) {
      const bool in = s > burst_begins * 60 && s <= burst_ends * 60;
      trend.add(s * 1'000, 5, (in ? burst : 0.3) + noise(random));
    }
    return *trend.forecast(minutes * kMinute);
  };
  CHECK(after(60, 0.95, 54, 60) == Approx(0.3).margin(0.01));   // going on for 6 min
  CHECK(after(60, 0.95, 20, 32) == Approx(0.3).margin(0.01));   // of 12 min, over
  CHECK(after(60, 0.95, 50, 60) == Approx(0.95).margin(0.01));  // the level of the last 10 min
  const std::int64_t now = 1'790'000'000'000 / kMinute * kMinute;
  const Trend day = trend_of(load(now - 3 * kHour, now, 2'000), 2);
  CHECK(*day.forecast(now) > 0);
  CHECK(*day.forecast(now) < 1);
}

TEST_CASE("no forecast from less than its horizon; none from what is over an hour old") {
  Trend trend;
  for (int s = 1; s < 900; ++s) trend.add(s * 1'000, 1, 0.5);
  CHECK_FALSE(trend.forecast(899'000).has_value());
  trend.add(900'000, 1, 0.5);
  CHECK(*trend.forecast(900'000) == Approx(0.5));
  CHECK_FALSE(trend.forecast(900'000 + 50 * kMinute).has_value());
}

TEST_CASE("the peak of the last hour") {
  Peak peak;
  CHECK_FALSE(peak.over_hour(0).has_value());
  peak.add(1'000, 7);
  peak.add(2'000, 3);
  peak.add(30 * kMinute, 0);
  CHECK(*peak.over_hour(30 * kMinute) == 7);
  CHECK(*peak.over_hour(60 * kMinute) == 7);
  CHECK(*peak.over_hour(62 * kMinute) == 0);
  CHECK_FALSE(peak.over_hour(100 * kMinute).has_value());
}

TEST_CASE("memory is what the header says") {
  CHECK(sizeof(Trend) <= 1'000);
  CHECK(sizeof(Peak) <= 264);
}
