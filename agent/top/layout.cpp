// SPDX-License-Identifier: Apache-2.0
#include "agent/top/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <string_view>

namespace optipod::top {
namespace {

struct Said {
  std::string text;
  Style style;
};

Said agent_words(const AgentState& agent) {
  const auto age = [&] { return show(agent.age_seconds, Unit::kSeconds, Charset::kAscii); };
  switch (agent.writer) {
    case shm::WriterState::kLive:
      return {"agent live", Style::kGood};
    case shm::WriterState::kHung:
      return {"agent HUNG for " + age() + ": it lives but publishes nothing", Style::kBad};
    case shm::WriterState::kGone:
      return {"agent GONE since " + age() + ": it ended without a clean stop", Style::kBad};
    case shm::WriterState::kClosed:
      return {"agent STOPPED " + age() + " ago", Style::kBad};
    case shm::WriterState::kUnknown:
      break;
  }
  return {"agent UNKNOWN", Style::kBad};
}

std::string node_words(const shm::NodeRecord& node, Charset charset) {
  std::string out =
      fmt::format(" {}  Linux {}  {} CPU{}", printable(node.node_name, charset),
                  printable(node.kernel_release, charset), node.cpus, node.cpus == 1 ? "" : "s");
  const std::string root = printable(node.cgroup_root, charset);
  if (root != "/") out += "  below " + root;
  return out;
}

Line title(const Scene& scene, const Canvas& canvas) {
  Line line;
  std::string left = " optipod-top";
  if (scene.sample) left = node_words(scene.sample->tick.node, canvas.charset);
  std::string right = "replay ";
  Style style = Style::kTitle;
  if (!scene.replay) {
    const Said said = agent_words(scene.agent);
    right = said.text + ' ';
    if (said.style == Style::kBad) style = Style::kBad;
  }
  const std::size_t taken = width(right) + 2;
  const std::size_t room = canvas.columns > taken ? canvas.columns - taken : 0;
  line.add(cut_right(left, room, canvas.charset), Style::kTitle);
  line.to(canvas.columns - std::min(canvas.columns, width(right)), Style::kTitle);
  return line.add(right, style);
}

/// Why what is shown is old, or nothing can be shown.
Page banner(const Scene& scene, const Canvas& canvas) {
  Page page;
  const auto& agent = scene.agent;
  if (!scene.replay && agent.attach != shm::AttachState::kAttached) {
    const std::string detail = agent.detail.empty() ? to_string(agent.attach) : agent.detail;
    std::string text =
        printable((scene.sample ? "no newer data: " : "no data: ") + detail, Charset::kAscii);
    // All of it: it says what to do.
    while (!text.empty()) {
      const std::size_t room = std::max<std::size_t>(20, canvas.columns - 2);
      std::size_t cut = text.size();
      if (width(text) > room) {
        cut = text.rfind(' ', room);
        if (cut == std::string::npos || cut == 0) cut = std::min(room, text.size());
      }
      page.push_back(Line().add(" " + text.substr(0, cut), Style::kBad));
      text.erase(0, std::min(text.size(), cut + (cut < text.size() && text[cut] == ' ' ? 1 : 0)));
    }
  }
  if (!scene.notice.empty()) {
    page.push_back(Line().add(" " + printable(scene.notice, canvas.charset), Style::kAccent));
  }
  return page;
}

Page footer(const Scene& scene, const Canvas& canvas) {
  Page page;
  if (scene.footer.empty()) return page;
  page.emplace_back();
  std::istringstream lines(scene.footer);
  for (std::string line; std::getline(lines, line);) {
    page.push_back(Line().add(" " + printable(line, canvas.charset), Style::kDim));
  }
  return page;
}

/// The most useful first: what does not fit is left out.
std::vector<std::string_view> hints(const Ui& ui) {
  switch (ui.screen) {
    case Screen::kPods:
      return {"q quit",     "? help",      "/ filter",  ", . sort",
              "Enter zoom", "space pause", "c columns", "2 3 4 5 screens"};
    case Screen::kColumns:
      return {"up/down move", "space on/off", "Enter done"};
    case Screen::kZoom:
    case Screen::kHelp:
      return {"q quit", "Esc back", "up/down scroll", "space pause", "t/T step"};
    default:
      return {"q quit",  "? help",  "1 pods",       "2 node",
              "3 disks", "4 agent", "5 neighbours", "space pause"};
  }
}

std::string mode_words(const Scene& scene, const Ui& ui, Charset charset) {
  const std::string when =
      scene.sample ? utc(scene.sample->tick.node.sampled_realtime_ns) : std::string();
  if (scene.replay) {
    return fmt::format("{} {}/{} {}", ui.following ? "REPLAY" : "REPLAY STOPPED", scene.number + 1,
                       scene.end, when);
  }
  if (ui.following) return when.empty() ? "NO DATA" : "LIVE " + when.substr(11);
  return fmt::format("PAUSED {}, {} back", when.empty() ? when : when.substr(11),
                     show(scene.behind_seconds, Unit::kSeconds, charset));
}

Line bottom(const Scene& scene, const Ui& ui, const Canvas& canvas) {
  Line line;
  if (ui.typing) {
    line.add(" filter: " + *ui.typing + "_", Style::kBold);
    line.add("   words of a name, !word leaves out; Enter keeps it, Esc clears it", Style::kDim);
    return line;
  }
  line.add(' ' + mode_words(scene, ui, canvas.charset) + ' ',
           ui.following ? Style::kTitle : Style::kSelected);
  if (!ui.message.empty()) return line.add("  " + ui.message, Style::kWarn);
  for (const std::string_view hint : hints(ui)) {
    if (line.columns() + 2 + hint.size() > canvas.columns) break;
    line.add(std::string("  ").append(hint), Style::kDim);
  }
  return line;
}

/// Lines of a page that is read, from ui.scroll on; the last line says when there are more.
Page window(Page page, std::size_t scroll, std::size_t rows, Charset charset) {
  if (rows == 0 || page.size() <= rows) return page;
  const std::size_t room = rows - 1;
  const std::size_t first = std::min(scroll, page.size() - room);
  const std::size_t left = page.size() - room - first;
  Page out(page.begin() + static_cast<std::ptrdiff_t>(first),
           page.begin() + static_cast<std::ptrdiff_t>(first + room));
  out.push_back(Line().add(
      left > 0 ? fmt::format(" {} {} more lines below", charset == Charset::kUtf8 ? "↓" : "v", left)
               : std::string(" end"),
      Style::kDim));
  return out;
}

void append(Page& page, Page more) {
  for (Line& line : more) page.push_back(std::move(line));
}

Page body(const Scene& scene, const Ui& ui, const Canvas& canvas, std::size_t rows) {
  if (ui.screen == Screen::kHelp) return window(help_page(canvas), ui.scroll, rows, canvas.charset);
  if (ui.screen == Screen::kColumns) return columns_page(ui, canvas, rows);
  if (!scene.sample) return {};
  if (ui.screen == Screen::kAgent) {
    return window(agent_page(scene, canvas), ui.scroll, rows, canvas.charset);
  }
  if (!scene.interval) {
    return {Line().add(" measuring: rates need two samples of one agent's life", Style::kDim)};
  }
  switch (ui.screen) {
    case Screen::kZoom:
      return window(zoom_page(scene, canvas), ui.scroll, rows, canvas.charset);
    case Screen::kNode:
      return window(node_page(scene, canvas), ui.scroll, rows, canvas.charset);
    case Screen::kNeighbours:
      return window(neighbours_page(scene, canvas), ui.scroll, rows, canvas.charset);
    case Screen::kDisks:
      return window(disks_page(scene, canvas), ui.scroll, rows, canvas.charset);
    default:
      break;
  }
  Page page = node_meters(scene, canvas);
  page.emplace_back();
  append(page, pods_table(scene, ui, canvas, rows == 0 ? 0 : rows - std::min(rows, page.size())));
  return page;
}

}  // namespace

std::vector<std::optional<double>> series(const Trend& trend, std::size_t signal) {
  std::vector<std::optional<double>> out;
  out.reserve(trend.size());
  for (const Values& values : trend) {
    out.push_back(signal < values.size() ? values[signal] : std::nullopt);
  }
  return out;
}

std::size_t table_rows(const Scene& scene, const Canvas& canvas) {
  const std::size_t taken = 1 + banner(scene, canvas).size() + node_meters(scene, canvas).size() +
                            1 + 1 + 2 + footer(scene, canvas).size() + 1;
  return canvas.rows > taken ? canvas.rows - taken : 1;
}

Page draw(const Scene& scene, const Ui& ui, const Canvas& canvas) {
  if (canvas.rows != 0 && (canvas.columns < kLeastColumns || canvas.rows < kLeastRows)) {
    Page small{
        fit(Line().add(fmt::format("optipod-top needs {}x{}, here are {}x{}", kLeastColumns,
                                   kLeastRows, canvas.columns, canvas.rows)),
            canvas.columns, canvas.charset),
        fit(Line().add("enlarge the terminal, or q and --once"), canvas.columns, canvas.charset)};
    small.resize(canvas.rows);
    return small;
  }
  Page page{title(scene, canvas)};
  append(page, banner(scene, canvas));
  const Page last = footer(scene, canvas);
  const std::size_t kept = last.size() + 1;  // and the line of keys
  const std::size_t taken = page.size() + kept;
  if (canvas.rows == 0) {
    append(page, body(scene, ui, canvas, 0));
    append(page, last);
  } else {
    if (canvas.rows > taken) append(page, body(scene, ui, canvas, canvas.rows - taken));
    page.resize(canvas.rows - std::min(canvas.rows, kept));
    append(page, last);
    page.resize(canvas.rows - 1);
    page.push_back(bottom(scene, ui, canvas));
  }
  for (Line& line : page) line = fit(std::move(line), canvas.columns, canvas.charset);
  return page;
}

}  // namespace optipod::top
