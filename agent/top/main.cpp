// SPDX-License-Identifier: Apache-2.0
// optipod-top: what this node and its containers wait for, from the agent's segment or a recording.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "agent/top/terminal.hpp"
#include "agent/top/view.hpp"
#include "common/app/app.hpp"

namespace {

using namespace optipod;

struct Options {
  top::Follower::Options follow{.segment = "/run/optipod/current.shm", .owner_uid = {}};
  std::string record, replay, columns, sort, filter, footer;
  std::uint64_t record_limit = 1u << 30;
  std::size_t rows = 0;
  bool once = false, json = false, csv = false;
};

constexpr const char* kDescription =
    "Shows what this node and its containers wait for, as the agent on the node publishes it in "
    "shared memory. Rows are sorted by what hurts: tasks waiting for a CPU, and time stalled on "
    "memory and I/O.\n\n"
    "On a terminal it is a screen with keys (? shows them): filter, sort, choose columns, zoom "
    "into a "
    "container, pause, step back in time. Elsewhere (a pipe, TERM=dumb) it prints a frame per "
    "sample.\n\n"
    "Examples:\n"
    "  optipod-top                                 look\n"
    "  optipod-top --once --json | jq .node        one sample for a script\n"
    "  optipod-top --csv >samples.csv              all samples from now on\n"
    "  optipod-top --record FILE </dev/null >/dev/null &    record in the background\n"
    "  optipod-top --replay FILE                   look at what was recorded\n"
    "  optipod-top --replay FILE --csv             the same for a script\n\n"
    "Colour: NO_COLOR=1 leaves it out; nothing is said by colour alone. Without a UTF-8 locale it "
    "draws in ASCII. Exit status: 0; 1 when there is nothing to show; 2 for wrong usage.";

void declare(CLI::App& cli, Options& o) {
  cli.add_option("--segment", o.follow.segment, "File the agent publishes in")
      ->capture_default_str();
  cli.add_option(
      "--segment-owner", o.follow.owner_uid,
      "Number of the user whose segment is trusted besides root's; default: the caller's");
  app::add_duration(cli, "--interval", o.follow.interval,
                    "Least time between two samples; longer than the agent's gives means over it");
  auto* const record =
      cli.add_option("--record", o.record, "Write the samples to this new file as well");
  cli.add_option("--record-limit", o.record_limit, "Size the recording does not grow over")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("1GiB");
  cli.add_option("--replay", o.replay, "Show this recording instead of a live agent")
      ->excludes(record);
  cli.add_flag("--once", o.once,
               "Print the newest sample and end; status 1 when there is no live agent to show");
  auto* const json = cli.add_flag("--json", o.json, "Print samples as lines of JSON");
  cli.add_flag("--csv", o.csv, "Print samples as CSV (RFC 4180)")->excludes(json);
  cli.add_option("--columns", o.columns, "Columns to show, as KEY,KEY… of the CSV's names; or all");
  cli.add_option("--sort", o.sort, "Column to sort by: a KEY or name; -KEY turns the order round");
  cli.add_option("--filter", o.filter, "Only rows whose name has these words; !word: has it not");
  cli.add_option("--rows", o.rows, "Lines of a printed frame at most; 0: as many as there are")
      ->capture_default_str();
  cli.add_option("--footer", o.footer, "Text for the last lines");
}

int wrong_usage(const std::string& what) {
  std::fprintf(stderr, "optipod-top: %s\n", what.c_str());
  return app::kUsage;
}

std::size_t terminal_columns() {
  winsize size{};
  constexpr std::size_t kElsewhere = 120;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kElsewhere;
  return std::max<std::size_t>(40, size.ws_col);
}

/// Only takes samples, for a recording without a view.
int record_only(app::Stop& stop, top::LiveSource& source) {
  while (!stop.requested() && !source.follower().recording_ended()) {
    if (!source.poll()) {
      stop.wait_until(std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
    }
  }
  std::fprintf(stderr, "optipod-top: %s\n", source.follower().notice().c_str());
  return source.follower().recording_failed() ? app::kFailure : app::kOk;
}

int show(app::Stop& stop, top::Source& source, const Options& o, const top::ViewOptions& view) {
  const bool text = !o.json && !o.csv;
  if (text && !o.once && top::Terminal::usable()) return interact(stop, source, view);
  top::StreamOptions stream;
  stream.format = o.json ? top::Format::kJson : o.csv ? top::Format::kCsv : top::Format::kFrames;
  stream.once = o.once;
  stream.columns = terminal_columns();
  stream.rows = o.rows;
  return top::stream(stop, source, view, stream);
}

int replay(app::Stop& stop, const Options& o, const top::ViewOptions& view) {
  auto recording = top::RecordingReader::open(o.replay);
  if (!recording) return wrong_usage(recording.error()), app::kFailure;
  if (recording->samples() == 0) {
    return wrong_usage(o.replay + ": holds no sample"), app::kFailure;
  }
  if (!recording->notice().empty()) {
    std::fprintf(stderr, "optipod-top: %s: %s\n", o.replay.c_str(), recording->notice().c_str());
  }
  top::ReplaySource source(std::move(*recording));
  return show(stop, source, o, view);
}

int live(app::Stop& stop, const Options& o, const top::ViewOptions& view) {
  std::optional<top::RecordingWriter> recording;
  if (!o.record.empty()) {
    auto made = top::RecordingWriter::create(o.record, o.record_limit);
    if (!made) return wrong_usage(made.error()), app::kFailure;
    recording.emplace(std::move(*made));
  }
  top::LiveSource source(o.follow, recording ? &*recording : nullptr);
  const bool seen = o.once || o.json || o.csv || top::Terminal::usable();
  return recording && !seen ? record_only(stop, source) : show(stop, source, o, view);
}

int run(app::Stop& stop, const Options& o) {
  top::ViewOptions view;
  view.charset = top::charset_of_locale();
  const char* no_colour = std::getenv("NO_COLOR");
  view.colour = no_colour == nullptr || *no_colour == '\0';
  view.interval = o.follow.interval;
  view.footer = o.footer;
  view.ui.query.filter = o.filter;
  if (!o.columns.empty()) {
    if (const auto wrong = choose_columns(view.ui, o.columns)) {
      return wrong_usage("--columns: " + *wrong);
    }
  }
  if (!o.sort.empty()) {
    if (const auto wrong = choose_sort(view.ui, o.sort)) return wrong_usage("--sort: " + *wrong);
  }
  return o.replay.empty() ? live(stop, o, view) : replay(stop, o, view);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  return app::run(
      argc, argv, {"optipod-top", kDescription}, [&](CLI::App& cli) { declare(cli, options); },
      [&](app::Stop& stop) { return run(stop, options); });
}
