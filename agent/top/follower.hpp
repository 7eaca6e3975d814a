// SPDX-License-Identifier: Apache-2.0
//
// Follows the agent's segment: every sample goes into the history, and into a recording.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/top/history.hpp"
#include "agent/top/recording.hpp"
#include "agent/top/scene.hpp"
#include "shm/tick.hpp"

namespace optipod::top {

class Follower {
 public:
  struct Options {
    std::string segment;
    std::optional<std::uint32_t> owner_uid;
    std::chrono::milliseconds interval{
        1000};  ///< samples that come earlier than this are passed over
  };
  /// `recording` outlives it; null: none.
  Follower(const Options& options, RecordingWriter* recording);

  /// Takes what is new; true when there is. At first, and where samples were missed, also what the
  /// agent's rings still hold of the time before.
  bool poll();
  [[nodiscard]] History& history() { return history_; }
  [[nodiscard]] AgentState state() const;
  /// "recording FILE: 12 samples, 34KB", or why it ended; "" without a recording.
  [[nodiscard]] std::string notice() const;
  /// The recording takes no more: its limit is reached, or its disk failed.
  [[nodiscard]] bool recording_ended() const { return !ended_.empty(); }
  [[nodiscard]] bool recording_failed() const { return failed_; }

 private:
  void catch_up(std::uint64_t until);
  void take(const shm::Tick& tick);

  shm::TickReader reader_;
  std::chrono::milliseconds interval_;
  RecordingWriter* recording_;
  History history_;
  shm::Tick fresh_, older_;
  std::string ended_;
  bool failed_ = false;
};

}  // namespace optipod::top
