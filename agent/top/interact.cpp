// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <optional>

#include "agent/top/layout.hpp"
#include "agent/top/terminal.hpp"
#include "agent/top/view.hpp"

namespace optipod::top {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How soon a new sample, a signal or a change of the agent's state is seen.
constexpr milliseconds kLook{100};
/// How often the agent's state and the age are drawn anew without news.
constexpr milliseconds kRefresh{500};

double seconds_to_next(Timeline& timeline, std::uint64_t number) {
  const SamplePtr now = timeline.at(number), next = timeline.at(number + 1);
  if (!now || !next || now->epoch != next->epoch) return 1;
  const double ns = static_cast<double>(next->tick.node.sampled_boottime_ns) -
                    static_cast<double>(now->tick.node.sampled_boottime_ns);
  return std::clamp(ns / 1e9, 0.05, 5.0);
}

class Session {
 public:
  Session(Source& source, const ViewOptions& options, Terminal& terminal)
      : source_(source), options_(options), terminal_(terminal), ui_(options.ui) {}

  int run(app::Stop& stop) {
    while (!stop.requested() && !ui_.quit) {
      bool changed = source_.poll();
      if (changed) settle(ui_, stage());
      changed = play() || changed;
      if (changed || !drawn_ || Clock::now() - *drawn_ >= kRefresh) draw_now();
      const int key = terminal_.key(kLook);
      if (key == Terminal::kHungUp) break;
      if (key == Terminal::kNoKey) continue;
      if (key != Terminal::kResized) handle(ui_, key, stage());
      draw_now();
    }
    return app::kOk;
  }

 private:
  /// A replay goes on at the pace in which it was recorded.
  bool play() {
    if (!source_.replay() || !ui_.following) return next_.reset(), false;
    Timeline& timeline = source_.timeline();
    if (ui_.position + 1 >= timeline.end()) {
      next_.reset();
      const bool was = std::exchange(ui_.following, false);
      return was;
    }
    const auto pause = [&] {
      return std::chrono::duration_cast<Clock::duration>(
          std::chrono::duration<double>(seconds_to_next(timeline, ui_.position)));
    };
    if (!next_) next_ = Clock::now() + pause();
    if (Clock::now() < *next_) return false;
    ++ui_.position;
    next_ = Clock::now() + pause();
    return true;
  }

  [[nodiscard]] Stage stage() {
    Stage out;
    out.replay = source_.replay();
    out.begin = source_.timeline().begin();
    out.end = source_.timeline().end();
    out.page = table_rows(scene_, terminal_.canvas());
    if (!scene_.interval) return out;
    for (const std::size_t row : scene_.order) {
      out.rows.push_back(identity_of(*scene_.interval->containers[row].now));
    }
    return out;
  }

  void draw_now() {
    scene_ = scene_of(source_, ui_, options_.footer);
    terminal_.show(draw(scene_, ui_, terminal_.canvas()));
    drawn_ = Clock::now();
  }

  Source& source_;
  const ViewOptions& options_;
  Terminal& terminal_;
  Ui ui_;
  Scene scene_;
  std::optional<Clock::time_point> drawn_, next_;
};

}  // namespace

Scene scene_of(Source& source, const Ui& ui, const std::string& footer) {
  Scene scene;
  Timeline& timeline = source.timeline();
  const bool zoomed = ui.screen == Screen::kZoom;
  look_at(scene, timeline, ui.position, zoomed ? ui.selected : std::nullopt);
  if (scene.interval) scene.order = arrange(*scene.interval, ui.query);
  if (scene.sample && !source.replay()) {
    const SamplePtr newest = timeline.at(timeline.end() - 1);
    const double ns = static_cast<double>(newest->tick.node.sampled_boottime_ns) -
                      static_cast<double>(scene.sample->tick.node.sampled_boottime_ns);
    scene.behind_seconds = std::max(0.0, ns / 1e9);
  }
  source.describe(scene);
  scene.footer = footer;
  return scene;
}

int interact(app::Stop& stop, Source& source, const ViewOptions& options) {
  auto terminal = Terminal::open(options.charset, options.colour);
  if (!terminal) {
    std::fprintf(stderr, "optipod-top: %s\n", terminal.error().c_str());
    return app::kFailure;
  }
  return Session(source, options, **terminal).run(stop);
}

}  // namespace optipod::top
