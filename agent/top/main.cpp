// SPDX-License-Identifier: Apache-2.0
// optipod-top: what this node and its containers wait for, live, from the agent's segment.
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <utility>

#include "agent/top/view.hpp"
#include "common/app/app.hpp"
#include "shm/tick.hpp"

namespace {

using namespace optipod;

struct Options {
  std::string segment = "/run/optipod/current.shm";
  std::optional<std::uint32_t> owner_uid;
  std::chrono::milliseconds interval{1000};
  unsigned rows = 0;
  bool once = false;
  std::string footer;
};

double now_boottime_seconds() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// Follows the segment: the newest tick, and the one before it for rates.
class Follower {
 public:
  explicit Follower(const Options& options)
      : reader_({.path = options.segment, .owner_uid = options.owner_uid}) {}

  /// True when a new tick came.
  bool poll() {
    const std::uint64_t epoch = reader_.epoch();
    if (!reader_.read(fresh_)) return false;
    if (have_now_ && reader_.epoch() == epoch && fresh_.node.tick == now_.node.tick) return false;
    have_before_ = have_now_ && reader_.epoch() == epoch;
    std::swap(before_, now_);
    std::swap(now_, fresh_);
    have_now_ = true;
    return true;
  }
  void wait(std::chrono::milliseconds timeout) { reader_.wait(timeout); }

  [[nodiscard]] top::State state() const {
    top::State out;
    out.attach = reader_.attach_state();
    out.writer = reader_.writer_state();
    out.detail = reader_.detail();
    if (!have_now_) return out;
    out.tick = &now_;
    if (have_before_) out.delta = top::difference(before_, now_);
    out.age_seconds =
        now_boottime_seconds() - static_cast<double>(now_.node.sampled_boottime_ns) / 1e9;
    if (out.age_seconds < 0) out.age_seconds = 0;
    return out;
  }
  [[nodiscard]] bool has_rates() const { return have_before_; }

 private:
  shm::TickReader reader_;
  shm::Tick before_, now_, fresh_;
  bool have_before_ = false, have_now_ = false;
};

top::Screen screen_of(const Options& options) {
  top::Screen screen;
  screen.footer = options.footer;
  screen.rows = options.rows;
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  winsize size{};
  if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    screen.columns = size.ws_col;
    if (!options.once && (screen.rows == 0 || screen.rows > size.ws_row)) screen.rows = size.ws_row;
  }
  screen.colour = terminal && std::getenv("NO_COLOR") == nullptr;
  return screen;
}

/// On a terminal the view is drawn over itself, on the alternate screen; elsewhere it is appended.
class Output {
 public:
  explicit Output(bool redraw) : redraw_(redraw) {
    if (redraw_) std::fputs("\033[?1049h\033[?25l", stdout);
  }
  ~Output() {
    if (redraw_) std::fputs("\033[?25h\033[?1049l", stdout);
    std::fflush(stdout);
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void show(const std::string& text) const {
    if (redraw_) {
      std::string frame = "\033[H";
      for (const char c : text) {
        if (c == '\n') frame += "\033[K";  // what a longer line of the last frame left
        frame += c;
      }
      frame += "\033[J";
      std::fputs(frame.c_str(), stdout);
    } else {
      std::fputs((text + "\n").c_str(), stdout);
    }
    std::fflush(stdout);
  }

 private:
  bool redraw_;
};

int once(app::Stop& stop, Follower& follower, const Options& options) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(5) + 3 * options.interval;
  while (!follower.has_rates() && std::chrono::steady_clock::now() < deadline &&
         !stop.requested()) {
    if (!follower.poll())
      stop.wait_until(std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
  }
  const top::State state = follower.state();
  std::fputs(top::render(state, screen_of(options)).c_str(), stdout);
  return state.delta && state.writer == shm::WriterState::kLive ? app::kOk : app::kFailure;
}

int live(app::Stop& stop, Follower& follower, const Options& options) {
  const Output output(isatty(STDOUT_FILENO) != 0);
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> shown;
  while (!stop.requested()) {
    // A frame for each new tick, but not more often than asked; without ticks the age goes on.
    const bool fresh = follower.poll();
    const auto now = Clock::now();
    if (!shown || (fresh && now - *shown >= options.interval * 9 / 10) ||
        now - *shown >= 2 * options.interval) {
      output.show(top::render(follower.state(), screen_of(options)));
      shown = now;
    }
    stop.wait_until(Clock::now() + std::chrono::milliseconds(100));
  }
  return app::kOk;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const app::Info info{
      "optipod-top",
      "Shows what this node and its containers wait for, as the agent on the node "
      "publishes it in shared memory. Rows are sorted by what hurts: tasks waiting "
      "for a CPU, then time stalled on memory and I/O, then CPU use."};
  const auto declare = [&](CLI::App& cli) {
    cli.add_option("--segment", options.segment, "File the agent publishes in")
        ->capture_default_str();
    cli.add_option(
        "--segment-owner", options.owner_uid,
        "Number of the user whose segment is trusted besides root's; default: the caller's");
    app::add_duration(cli, "--interval", options.interval, "Time between two frames");
    cli.add_option("--rows", options.rows, "Lines to show at most; 0: the terminal's height")
        ->capture_default_str();
    cli.add_flag("--once", options.once,
                 "Print one frame and end; status 1 when there is no live agent to show");
    cli.add_option("--footer", options.footer, "Text for the last lines");
  };
  return app::run(argc, argv, info, declare, [&](app::Stop& stop) {
    Follower follower(options);
    return options.once ? once(stop, follower, options) : live(stop, follower, options);
  });
}
