// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "agent/top/dump.hpp"
#include "agent/top/layout.hpp"
#include "agent/top/view.hpp"

namespace optipod::top {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kLook{50};

class Stream {
 public:
  Stream(Source& source, const ViewOptions& view, const StreamOptions& options)
      : source_(source), view_(view), options_(options), ui_(view.ui) {}

  int once(app::Stop& stop) {
    const auto deadline = Clock::now() + std::chrono::seconds(5) + 3 * view_.interval;
    Scene scene = newest();
    while (!scene.interval && !source_.ended() && Clock::now() < deadline &&
           !stop.wait_until(Clock::now() + kLook)) {
      if (source_.poll()) scene = newest();
    }
    source_.describe(scene);
    write(scene);
    const bool well = scene.replay || scene.agent.writer == shm::WriterState::kLive;
    return scene.interval && well && !failed_ ? app::kOk : app::kFailure;
  }

  /// All samples of a recording; or what comes, beginning with the newest.
  int run(app::Stop& stop) {
    source_.poll();
    Timeline& timeline = source_.timeline();
    std::uint64_t next = timeline.begin();
    if (!source_.replay() && timeline.end() > timeline.begin()) next = timeline.end() - 1;
    while (!stop.requested() && !failed_ && !gone_) {
      next = std::max(next, timeline.begin());
      for (; next < timeline.end() && !stop.requested() && !failed_ && !gone_; ++next) show(next);
      if (source_.ended()) break;
      if (!source_.poll()) {
        show_silence();
        stop.wait_until(Clock::now() + kLook);
      }
    }
    return failed_ ? app::kFailure : app::kOk;
  }

 private:
  Scene scene_at(std::uint64_t number) {
    ui_.position = number;
    return scene_of(source_, ui_, view_.footer);
  }

  Scene newest() {
    source_.poll();
    Timeline& timeline = source_.timeline();
    return scene_at(timeline.end() == timeline.begin() ? timeline.end() : timeline.end() - 1);
  }

  /// Rates need a sample before: the first one of a life is for frames only.
  void show(std::uint64_t number) {
    const Scene scene = scene_at(number);
    if (scene.interval || options_.format == Format::kFrames) write(scene);
  }

  /// Frames go on while the agent is silent, so that one sees that it is.
  void show_silence() {
    if (options_.format != Format::kFrames) return;
    if (!written_ || Clock::now() - *written_ >= 2 * view_.interval) write(newest());
  }

  void write(const Scene& scene) {
    std::string text;
    if (options_.format == Format::kJson) {
      text = to_json(scene);
    } else if (options_.format == Format::kCsv) {
      text = (written_ ? std::string() : csv_header()) + to_csv(scene);
    } else {
      text = frame(scene);
    }
    written_ = Clock::now();
    if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
        std::fflush(stdout) == 0) {
      return;
    }
    gone_ = true;
    failed_ = errno != EPIPE;  // a reader that has enough is no failure
    if (failed_) std::fprintf(stderr, "optipod-top: cannot write: %s\n", std::strerror(errno));
  }

  [[nodiscard]] std::string frame(const Scene& scene) const {
    const Canvas canvas{options_.columns, 0, view_.charset};
    Page page = draw(scene, ui_, canvas);
    if (options_.rows > 0 && page.size() > options_.rows) page.resize(options_.rows);
    std::string text = plain(page);
    return options_.once ? text : text + '\n';
  }

  Source& source_;
  const ViewOptions& view_;
  const StreamOptions& options_;
  Ui ui_;
  std::optional<Clock::time_point> written_;
  bool failed_ = false, gone_ = false;
};

}  // namespace

int stream(app::Stop& stop, Source& source, const ViewOptions& view, const StreamOptions& options) {
  Stream out(source, view, options);
  return options.once ? out.once(stop) : out.run(stop);
}

}  // namespace optipod::top
