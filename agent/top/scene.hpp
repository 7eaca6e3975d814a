// SPDX-License-Identifier: Apache-2.0
//
// Everything a screen is drawn of, as data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/top/model.hpp"

namespace optipod::top {

/// The agent and its segment, judged now. Not used in a replay.
struct AgentState {
  shm::AttachState attach = shm::AttachState::kNoSegment;
  shm::WriterState writer = shm::WriterState::kUnknown;
  std::string detail;      ///< why nothing is attached
  double age_seconds = 0;  ///< of the newest sample
};

/// One value of each signal per interval, oldest first; the last is the interval shown. Empty where
/// there was none: before the first sample, between two agents, before the container began.
using Trend = std::vector<Values>;

/// What one thing did over the trend's time: for histograms. Both null when there are not two
/// samples.
template <class Record>
struct Window {
  SamplePtr keep_before, keep_now;
  const Record* before = nullptr;
  const Record* now = nullptr;
  double seconds = 0;
};

struct Zoom {
  Identity identity;
  Trend trend;  ///< container_signals()
  Window<shm::ContainerRecord> window;
};

struct Scene {
  bool replay = false;
  AgentState agent;
  SamplePtr sample;                  ///< the one shown; null: none yet
  std::optional<Interval> interval;  ///< that ends with it; unset on the first
  std::vector<std::size_t> order;    ///< interval's containers as the query wants them
  Trend node_trend;                  ///< node_signals()
  Window<shm::NodeRecord> node_window;
  std::optional<Zoom> zoom;
  std::uint64_t begin = 0, end = 0, number = 0;  ///< samples there are, and the one shown
  double behind_seconds = 0;                     ///< the sample shown is older than the newest
  std::string notice;                            ///< of the recording made or replayed
  std::string footer;                            ///< the caller's last lines, separated by \n
};

/// Number of intervals that trends and windows reach back.
inline constexpr std::size_t kTrendIntervals = 60;

/// Fills in what is taken from the timeline: sample, interval, trends, windows. `zoomed`: the
/// container looked at, if any.
void look_at(Scene& scene, Timeline& timeline, std::uint64_t number,
             const std::optional<Identity>& zoomed);

}  // namespace optipod::top
