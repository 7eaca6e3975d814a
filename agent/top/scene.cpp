// SPDX-License-Identifier: Apache-2.0
#include "agent/top/scene.hpp"

#include <algorithm>

#include "agent/top/signals.hpp"

namespace optipod::top {
namespace {

/// Seconds between two samples of one life in order; 0 when they are not.
double seconds_between(const SamplePtr& before, const SamplePtr& now) {
  if (!before || !now || before->epoch != now->epoch) return 0;
  const std::uint64_t was = before->tick.node.sampled_boottime_ns;
  const std::uint64_t is = now->tick.node.sampled_boottime_ns;
  return is > was ? static_cast<double>(is - was) / 1e9 : 0;
}

Values node_values(const SamplePtr& before, const SamplePtr& now) {
  const double seconds = seconds_between(before, now);
  if (seconds == 0) return {};
  const NodeMoment first(before->tick), last(now->tick);
  return evaluate<NodeMoment>(node_signals(), {first, last, seconds});
}

Values container_values(const SamplePtr& before, const SamplePtr& now, const Identity& identity) {
  const double seconds = seconds_between(before, now);
  if (seconds == 0) return {};
  const auto *was = find(before->tick, identity), *is = find(now->tick, identity);
  if (was == nullptr || is == nullptr) return {};
  return evaluate<shm::ContainerRecord>(container_signals(), {*was, *is, seconds});
}

/// The longest window that ends with the last sample and in which `record_of` finds something.
template <class Record, class Find>
Window<Record> window_of(const std::vector<SamplePtr>& samples, Find record_of) {
  Window<Record> out;
  const SamplePtr& last = samples.back();
  if (!last || record_of(*last) == nullptr) return out;
  for (const SamplePtr& first : samples) {
    const double seconds = seconds_between(first, last);
    if (seconds == 0 || record_of(*first) == nullptr) continue;
    return {first, last, record_of(*first), record_of(*last), seconds};
  }
  return out;
}

}  // namespace

void look_at(Scene& scene, Timeline& timeline, std::uint64_t number,
             const std::optional<Identity>& zoomed) {
  scene.begin = timeline.begin();
  scene.end = timeline.end();
  scene.number = number;
  scene.sample = timeline.at(number);
  scene.interval.reset();
  scene.zoom.reset();
  scene.node_trend.clear();
  if (!scene.sample) return;
  scene.interval = interval_at(timeline, number);

  const std::uint64_t back = std::min<std::uint64_t>(kTrendIntervals, number - timeline.begin());
  std::vector<SamplePtr> samples;
  for (std::uint64_t i = number - back; i <= number; ++i) samples.push_back(timeline.at(i));
  for (std::size_t i = 1; i < samples.size(); ++i) {
    scene.node_trend.push_back(node_values(samples[i - 1], samples[i]));
  }
  scene.node_window =
      window_of<shm::NodeRecord>(samples, [](const Sample& s) { return &s.tick.node; });
  if (!zoomed) return;
  Zoom& zoom = scene.zoom.emplace();
  zoom.identity = *zoomed;
  for (std::size_t i = 1; i < samples.size(); ++i) {
    zoom.trend.push_back(container_values(samples[i - 1], samples[i], *zoomed));
  }
  zoom.window = window_of<shm::ContainerRecord>(
      samples, [&](const Sample& s) { return find(s.tick, *zoomed); });
}

}  // namespace optipod::top
