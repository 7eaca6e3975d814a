// SPDX-License-Identifier: Apache-2.0
//
// Where samples come from, a live agent or a recording, as the views use it.
#pragma once

#include <cstdint>
#include <utility>

#include "agent/top/follower.hpp"
#include "agent/top/recording.hpp"
#include "agent/top/scene.hpp"

namespace optipod::top {

class Source {
 public:
  virtual ~Source() = default;
  [[nodiscard]] virtual bool replay() const = 0;
  /// Takes what is new; true when there is.
  virtual bool poll() = 0;
  virtual Timeline& timeline() = 0;
  /// How the agent is and what is to be said of a recording, now.
  virtual void describe(Scene& scene) = 0;
  /// There will be no more samples, so a program without a view can end.
  [[nodiscard]] virtual bool ended() const { return false; }
};

class LiveSource final : public Source {
 public:
  LiveSource(const Follower::Options& options, RecordingWriter* recording)
      : follower_(options, recording) {}
  [[nodiscard]] bool replay() const override { return false; }
  bool poll() override { return follower_.poll(); }
  Timeline& timeline() override { return follower_.history(); }
  void describe(Scene& scene) override {
    scene.agent = follower_.state();
    scene.notice = follower_.notice();
  }
  [[nodiscard]] const Follower& follower() const { return follower_; }

 private:
  Follower follower_;
};

class ReplaySource final : public Source {
 public:
  explicit ReplaySource(RecordingReader reader) : replay_(std::move(reader)) {}
  [[nodiscard]] bool replay() const override { return true; }
  bool poll() override { return std::exchange(fresh_, false); }
  Timeline& timeline() override { return replay_; }
  void describe(Scene& scene) override {
    scene.replay = true;
    scene.notice = replay_.notice();
  }
  [[nodiscard]] bool ended() const override { return true; }

 private:
  Replay replay_;
  bool fresh_ = true;
};

}  // namespace optipod::top
