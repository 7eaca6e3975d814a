// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <numeric>
#include <string_view>
#include <vector>

#include "agent/top/layout.hpp"

namespace optipod::top {
namespace {

constexpr std::size_t kDeviceName = 12;

std::size_t column_width(const Signal<shm::DeviceRecord>& signal) {
  return std::max<std::size_t>(width(signal.title), 6) + 1;
}

Line pair_line(std::string_view label, const std::string& value, std::string_view help) {
  Line line;
  line.add(pad_right(fmt::format("   {}", label), 20));
  line.add(pad_left(value, 9), Style::kBold);
  return line.add(std::string("   ").append(help), Style::kDim);
}

double seconds_since(const shm::AgentRecord& was, const shm::AgentRecord& is) {
  return static_cast<double>(is.cpu_user_ns + is.cpu_system_ns - was.cpu_user_ns -
                             was.cpu_system_ns) /
         1e9;
}

Page agent_cost(const Scene& scene, Charset charset) {
  const auto& agent = scene.sample->tick.agent;
  const auto text = [&](double value, Unit unit) { return show(value, unit, charset); };
  Page page{Line().add(" What the agent costs", Style::kBold)};
  page.push_back(pair_line("version", printable(agent.version, charset), ""));
  std::optional<double> share;
  if (scene.interval) {
    share = std::max(0.0, seconds_since(scene.interval->before->tick.agent, agent)) /
            scene.interval->seconds;
  }
  page.push_back(pair_line("CPU", show(share, Unit::kShare, charset),
                           "of one CPU, its process alone; its eBPF programs are below"));
  page.push_back(pair_line("memory", text(static_cast<double>(agent.resident_bytes), Unit::kBytes),
                           "resident"));
  page.push_back(pair_line("last sample took",
                           text(static_cast<double>(agent.tick_duration_ns) / 1e9, Unit::kSeconds),
                           "to take"));
  page.push_back(pair_line("samples missed",
                           text(static_cast<double>(agent.ticks_missed), Unit::kCount),
                           "their time had passed before they began"));
  page.push_back(pair_line("errors", text(static_cast<double>(agent.errors), Unit::kCount),
                           "slots not given, walks not run; its log names them"));
  page.push_back(pair_line(
      "no room for", text(static_cast<double>(agent.container_cuts[shm::kOverLimit]), Unit::kCount),
      "containers that came and were over --max-containers"));
  std::optional<double> short_lived;
  if ((scene.sample->tick.node.valid & shm::kValidShortLived) != 0)
    short_lived = static_cast<double>(agent.container_cuts[shm::kShortLived]);
  page.push_back(pair_line("too short-lived", show(short_lived, Unit::kCount, charset),
                           "containers gone before they were looked for"));
  const auto sum = [](const auto& counts) {
    return static_cast<double>(
        std::accumulate(std::begin(counts), std::end(counts), std::uint64_t{0}));
  };
  const std::uint64_t valid = scene.sample->tick.node.valid;
  std::optional<double> dropped, missed;
  if ((valid & shm::kValidDropped) != 0) dropped = sum(agent.dropped);
  if ((valid & shm::kValidMissedRuns) != 0) missed = sum(agent.missed_runs);
  page.push_back(pair_line("dropped", show(dropped, Unit::kCount, charset),
                           "what its programs had no room to count"));
  page.push_back(pair_line("not seen", show(missed, Unit::kCount, charset),
                           "events that came while their program ran already"));
  return page;
}

/// The program's record in the sample before, by name: a restart may have other programs.
const shm::AgentRecord::Program* program_before(const Scene& scene,
                                                const shm::AgentRecord::Program& now) {
  if (!scene.interval) return nullptr;
  const auto& agent = scene.interval->before->tick.agent;
  for (std::size_t i = 0; i < agent.program_count; ++i) {
    if (std::string_view(agent.program(i).name) == now.name) return &agent.program(i);
  }
  return nullptr;
}

Line program_line(const Scene& scene, const shm::AgentRecord::Program& now, Charset charset) {
  const auto* was = program_before(scene, now);
  std::optional<double> rate, each, share;
  if (was != nullptr && now.runs > was->runs && now.run_ns >= was->run_ns) {
    const auto runs = static_cast<double>(now.runs - was->runs);
    rate = runs / scene.interval->seconds;
    each = static_cast<double>(now.run_ns - was->run_ns) / runs;
    share = *rate * *each / 1e9;
  }
  Line line;
  line.add("   " + pad_right(printable(now.name, charset), 34));
  line.add(pad_left(show(rate, Unit::kPerSecond, charset), 10));
  line.add(pad_left(show(each, Unit::kCount, charset), 10));
  return line.add(pad_left(show(share, Unit::kShare, charset), 10));
}

Page agent_programs(const Scene& scene, Charset charset) {
  const auto& agent = scene.sample->tick.agent;
  std::vector<shm::AgentRecord::Program> programs(agent.program_count);
  for (std::size_t i = 0; i < programs.size(); ++i) programs[i] = agent.program(i);
  Page page{Line().add(" eBPF programs", Style::kBold)};
  if (programs.empty()) {
    page.push_back(
        Line().add("   none is attached: values come from the kernel's files", Style::kDim));
    return page;
  }
  const bool timed =
      std::any_of(programs.begin(), programs.end(), [](const auto& p) { return p.runs > 0; });
  if (!timed) {
    page.push_back(Line().add(
        "   not timed: sysctl -w kernel.bpf_stats_enabled=1 has the kernel do that", Style::kDim));
    for (const auto& program : programs) {
      page.push_back(Line().add("   " + printable(program.name, charset)));
    }
    return page;
  }
  page.push_back(Line().add(
      fmt::format("   {:<34}{:>10}{:>10}{:>10}", "program", "runs/s", "ns/run", "of a CPU"),
      Style::kHeading));
  for (const auto& program : programs) page.push_back(program_line(scene, program, charset));
  return page;
}

Page agent_features(const Scene& scene, Charset charset) {
  const auto& agent = scene.sample->tick.agent;
  Page page{Line().add(" What this kernel gives", Style::kBold)};
  for (const bool enabled : {false, true}) {  // what is missing first
    for (std::size_t i = 0; i < agent.feature_count; ++i) {
      const auto& feature = agent.features[i];
      if ((feature.enabled != 0) != enabled) continue;
      Line line;
      line.add(enabled ? "   on   " : "   OFF  ", enabled ? Style::kGood : Style::kWarn);
      line.add(pad_right(printable(feature.name, charset), 28));
      page.push_back(line.add(
          (enabled ? "from " : "because: ") + printable(feature.source, charset), Style::kDim));
    }
  }
  return page;
}

struct KeyHelp {
  std::string_view keys, what;
};
constexpr KeyHelp kKeys[] = {
    {"", "Moving"},
    {"1 2 3 4 5", "screens: pods, node, disks, agent, neighbours"},
    {"up down PgUp PgDn", "choose a row, or scroll (also j, k, Home, End)"},
    {"Enter", "zoom: all signals and histograms of the chosen container"},
    {"Esc", "back; on the pods screen: no filter, no chosen row"},
    {"left right", "columns that do not fit"},
    {"", "Table"},
    {", .", "sort by the column to the left, to the right (also < >)"},
    {"S", "turn the order round"},
    {"/", "filter by name: all words must be in it, !word must not"},
    {"c", "choose columns"},
    {"", "Time"},
    {"space", "pause and go on; in a replay: stop and play"},
    {"t T", "next, previous sample"},
    {"} {", "60 samples on, back"},
    {"g G", "oldest sample kept; newest (and follow it)"},
    {"", "Else"},
    {"? h", "this help"},
    {"q Ctrl-C", "end"},
};

}  // namespace

Page disks_page(const Scene& scene, const Canvas& canvas) {
  Line heading;
  heading.add(pad_right("  disk", kDeviceName), Style::kHeading);
  for (const auto& signal : device_signals()) {
    heading.add(pad_left(signal.title, column_width(signal)), Style::kHeading);
  }
  Page page{std::move(heading)};
  for (const auto& row : scene.interval->devices) {
    Line line;
    line.add(pad_right("  " + cut_right(printable(row.now->name, canvas.charset), kDeviceName - 3,
                                        canvas.charset),
                       kDeviceName),
             Style::kBold);
    for (std::size_t i = 0; i < row.values.size(); ++i) {
      const auto& signal = device_signals()[i];
      line.add(pad_left(show(row.values[i], signal.unit, canvas.charset), column_width(signal)),
               severity(signal, row.values[i]));
    }
    page.push_back(std::move(line));
  }
  if (scene.interval->devices.empty()) {
    page.push_back(Line().add("  no disk had I/O since the agent began", Style::kDim));
  }
  return page;
}

Page agent_page(const Scene& scene, const Canvas& canvas) {
  Page page = agent_cost(scene, canvas.charset);
  for (Page part : {agent_features(scene, canvas.charset), agent_programs(scene, canvas.charset)}) {
    page.emplace_back();
    for (Line& line : part) page.push_back(std::move(line));
  }
  return page;
}

Page columns_page(const Ui& ui, const Canvas& canvas, std::size_t rows) {
  Page page{Line().add(" Columns of the pods screen", Style::kBold)};
  const auto signals = container_signals();
  const std::size_t room = rows > 1 ? rows - 1 : signals.size();
  const std::size_t first = ui.chosen / room * room;
  for (std::size_t i = first; i < std::min(signals.size(), first + room); ++i) {
    const bool here = i == ui.chosen;
    Line line;
    line.add(here ? " > " : "   ", Style::kBold);
    line.add(ui.columns[i] ? "[x] " : "[ ] ", here ? Style::kSelected : Style::kPlain);
    line.add(pad_right(signals[i].title, 11), here ? Style::kSelected : Style::kBold);
    line.add(std::string("  ") + signals[i].help, Style::kDim);
    page.push_back(fit(std::move(line), canvas.columns, canvas.charset));
  }
  return page;
}

Page help_page(const Canvas& canvas) {
  Page page;
  for (const KeyHelp& key : kKeys) {
    Line line;
    if (key.keys.empty()) {
      line.add(' ' + std::string(key.what), Style::kBold);
    } else {
      line.add(pad_right(fmt::format("   {}", key.keys), 22), Style::kAccent);
      line.add(std::string(key.what));
    }
    page.push_back(std::move(line));
  }
  page.emplace_back();
  page.push_back(Line().add(" Marks", Style::kBold));
  page.push_back(Line().add("   ! bad   * worth a look   > chosen   " +
                            show(std::nullopt, Unit::kCount, canvas.charset) +
                            " not known, or nothing happened: never a zero"));
  page.emplace_back();
  page.push_back(Line().add(" Columns (* shown unless chosen otherwise)", Style::kBold));
  for (const auto& signal : container_signals()) {
    Line line;
    line.add(fmt::format("  {}{:<11}", signal.shown ? '*' : ' ', signal.title), Style::kAccent);
    page.push_back(line.add(signal.help));
  }
  return page;
}

}  // namespace optipod::top
