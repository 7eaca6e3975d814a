// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/top/layout.hpp"

namespace optipod::top {
namespace {

constexpr std::size_t kMargin = 2;  ///< the selection's and the severity's mark
constexpr std::size_t kLeastName = 20;
constexpr std::size_t kLabel = 9;

// ---- The node ----------------------------------------------------------------------------------

/// A value of the node on a line of it.
struct Meter {
  const char* key;
  const char* before;  ///< words
  const char* after;
  std::size_t columns;  ///< of the value
  double full;          ///< of its sparkline; 0: none; below 0: the highest there is, at least this
};

struct MeterLine {
  const char* label;
  std::array<Meter, 4> meters;
};

constexpr MeterLine kMeterLines[] = {
    {" CPU",
     {{{"cpu_used_ratio", "used ", "", 5, 1},
       {"cpu_waiting_per_cpu", "waiting ", "/CPU", 5, -1},
       {"cpu_wait_p95_seconds", "wait p95 ", "", 6, -0.005},
       {"cpu_steal_ratio", "steal ", "", 5, 0}}}},
    {" Preempt",
     {{{"preempted_by_other_per_second", "by others ", "/s", 5, -1},
       {"preempted_by_self_per_second", "by self ", "/s", 5, -1},
       {"preempted_by_system_per_second", "by system ", "/s", 5, 0},
       {"switches_involuntary_per_second", "switches ", "/s", 5, 0}}}},
    {" Memory",
     {{{"memory_used_ratio", "used ", "", 5, 1},
       {"memory_pressure_ratio", "stalled ", "", 5, 1},
       {"page_faults_per_second", "faults ", "/s", 5, 0},
       {"memory_used_bytes", "", " in use", 6, 0}}}},
    {" I/O",
     {{{"io_pressure_ratio", "stalled ", "", 5, 1},
       {"read_bytes_per_second", "read ", "/s", 6, -1},
       {"write_bytes_per_second", "write ", "/s", 6, -1},
       {"block_p95_seconds", "p95 ", "", 6, 0}}}},
    {" Network",
     {{{"network_received_bytes_per_second", "in ", "/s", 6, -1},
       {"network_sent_bytes_per_second", "out ", "/s", 6, -1},
       {"packet_drops_per_second", "dropped ", "/s", 5, 0},
       {"tcp_retransmits_all_per_second", "sent again ", "/s", 5, 0}}}},
};

std::size_t text_columns(const Meter& meter) {
  return width(meter.before) + meter.columns + width(meter.after);
}

double scale_of(const Meter& meter, const std::vector<std::optional<double>>& values) {
  if (meter.full > 0) return meter.full;
  double highest = -meter.full;
  for (const auto& value : values) highest = std::max(highest, value.value_or(0));
  return highest;
}

/// Sparklines share what the words leave; what does not fit even so is left out from the right.
std::size_t spark_columns(const MeterLine& line, std::size_t columns, std::size_t& shown) {
  constexpr std::size_t kLeast = 8, kMost = kTrendIntervals;
  for (shown = line.meters.size(); shown > 0; --shown) {
    std::size_t used = kLabel, sparks = 0;
    for (std::size_t i = 0; i < shown; ++i) {
      used += text_columns(line.meters[i]) + 2;
      if (line.meters[i].full != 0) ++sparks, ++used;
    }
    if (used > columns) continue;
    const std::size_t each = sparks == 0 ? 0 : (columns - used) / sparks;
    if (sparks == 0 || each >= kLeast) return std::min(each, kMost);
  }
  shown = 1;
  return 0;
}

Line meter_line(const MeterLine& meters, const Scene& scene, const Canvas& canvas) {
  std::size_t shown = 0;
  const std::size_t spark = spark_columns(meters, canvas.columns, shown);
  Line line;
  line.add(pad_right(meters.label, kLabel), Style::kBold);
  for (std::size_t i = 0; i < shown; ++i) {
    const Meter& meter = meters.meters[i];
    const auto index = find_signal(node_signals(), meter.key);
    if (!index) continue;
    const auto& signal = node_signals()[*index];
    const auto value = scene.interval->node[*index];
    line.add(meter.before, Style::kDim);
    line.add(pad_left(show(value, signal.unit, canvas.charset), meter.columns),
             severity(signal, value));
    line.add(meter.after, Style::kDim);
    if (meter.full != 0 && spark > 0) {
      const auto values = series(scene.node_trend, *index);
      line.add(" ");
      line.add(sparkline(values, scale_of(meter, values), spark, canvas.charset), Style::kAccent);
    }
    line.add("  ");
  }
  return line;
}

// ---- The containers ----------------------------------------------------------------------------

/// Which columns fit, and how wide the name is beside them.
struct Plan {
  std::size_t name;
  std::vector<std::size_t> signals;
  std::size_t hidden_left, hidden_right;
};

std::size_t column_width(const Signal<shm::ContainerRecord>& signal) {
  return std::max<std::size_t>(width(signal.title), 6) + 2;
}

std::size_t longest_name(const Scene& scene, Charset charset) {
  std::size_t longest = width("(everything else)");
  for (const std::size_t row : scene.order) {
    longest = std::max(longest, width(printable(scene.interval->containers[row].name, charset)));
  }
  return longest;
}

Plan plan_of(const Scene& scene, const Ui& ui, const Canvas& canvas) {
  const auto signals = container_signals();
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < signals.size(); ++i) {
    if (ui.columns[i]) chosen.push_back(i);
  }
  Plan plan{};
  plan.hidden_left = std::min(ui.first_column, chosen.empty() ? 0 : chosen.size() - 1);
  const std::size_t longest = longest_name(scene, canvas.charset);
  // Names get a third at first, and then what the columns leave.
  const std::size_t third = std::max(kLeastName, canvas.columns * 3 / 8);
  plan.name = std::clamp(longest, kLeastName, third);
  std::size_t left = canvas.columns - std::min(canvas.columns, kMargin + plan.name);
  for (std::size_t i = plan.hidden_left; i < chosen.size(); ++i) {
    const std::size_t w = column_width(signals[chosen[i]]);
    if (w > left) break;
    left -= w;
    plan.signals.push_back(chosen[i]);
  }
  plan.hidden_right = chosen.size() - plan.hidden_left - plan.signals.size();
  plan.name += std::min(left, longest > plan.name ? longest - plan.name : 0);
  return plan;
}

std::string_view sort_mark(const Query& query, Charset charset) {
  if (charset == Charset::kAscii) return query.descending ? "v" : "^";
  return query.descending ? "▼" : "▲";
}

Line heading(const Plan& plan, const Ui& ui, const Scene& scene, Charset charset) {
  Line line;
  const bool by_name = ui.query.sort == Query::kByName;
  std::string name = scene.sample->tick.containers.empty() ? "container" : "container or cgroup";
  if (by_name) name += std::string(" ").append(sort_mark(ui.query, charset));
  line.add("  ", Style::kHeading);
  line.add(pad_right(name, plan.name), by_name ? Style::kSelected : Style::kHeading);
  for (const std::size_t i : plan.signals) {
    const auto& signal = container_signals()[i];
    const bool sorted = ui.query.sort == i;
    const std::string text =
        sorted ? std::string(sort_mark(ui.query, charset)).append(signal.title) : signal.title;
    const std::size_t w = column_width(signal);
    line.add(std::string(w - width(text), ' '), Style::kHeading);
    line.add(text, sorted ? Style::kSelected : Style::kHeading);
  }
  return line;
}

/// The worst of a row's values, also of those in columns that do not fit.
Style row_severity(const Values& values) {
  Style worst = Style::kPlain;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Style style = severity(container_signals()[i], values[i]);
    if (style == Style::kBad) return style;
    if (style == Style::kWarn) worst = style;
  }
  return worst;
}

Line table_row(const Plan& plan, std::string_view name, const Values& values, bool selected,
               Charset charset) {
  const Style worst = row_severity(values);
  Line line;
  line.add(selected ? ">" : " ", Style::kBold);
  line.add(worst == Style::kBad ? "!" : worst == Style::kWarn ? "*" : " ", worst);
  line.add(pad_right(cut_left(printable(name, charset), plan.name, charset), plan.name),
           selected ? Style::kSelected : Style::kPlain);
  for (const std::size_t i : plan.signals) {
    const auto& signal = container_signals()[i];
    const Style style = severity(signal, values[i]);
    line.add(pad_left(show(values[i], signal.unit, charset), column_width(signal)),
             selected && style == Style::kPlain ? Style::kSelected : style);
  }
  return line;
}

std::string counts(const Scene& scene, const Ui& ui, const Plan& plan, std::size_t first,
                   std::size_t shown) {
  const std::size_t all = scene.interval->containers.size();
  const std::size_t found = scene.order.size();
  std::string out = fmt::format(" {} of {}", shown, found);
  if (first > 0 && shown > 0) out = fmt::format(" {} to {} of {}", first + 1, first + shown, found);
  if (found != all) out += fmt::format(" found by '{}' among {}", ui.query.filter, all);
  if (const auto cut = scene.sample->tick.node.containers_cut; cut > 0) {
    out += fmt::format("; {} more beyond --max-containers", cut);
  }
  if (plan.hidden_left + plan.hidden_right > 0) {
    out += fmt::format("; {} column{} to the {}", plan.hidden_left + plan.hidden_right,
                       plan.hidden_left + plan.hidden_right == 1 ? "" : "s",
                       plan.hidden_left == 0    ? "right"
                       : plan.hidden_right == 0 ? "left"
                                                : "left and right");
  }
  return out;
}

/// The screenful that the selected row is on.
std::size_t first_row(const Scene& scene, const Ui& ui, std::size_t room) {
  if (!ui.selected || room == 0) return 0;
  for (std::size_t i = 0; i < scene.order.size(); ++i) {
    if (identity_of(*scene.interval->containers[scene.order[i]].now) == *ui.selected) {
      return i / room * room;
    }
  }
  return 0;
}

}  // namespace

Page node_meters(const Scene& scene, const Canvas& canvas) {
  Page page;
  if (!scene.interval) return page;
  for (const MeterLine& line : kMeterLines) page.push_back(meter_line(line, scene, canvas));
  return page;
}

Page pods_table(const Scene& scene, const Ui& ui, const Canvas& canvas, std::size_t rows) {
  constexpr std::size_t kOthers = 3;  // heading, the rest, the counts
  const Plan plan = plan_of(scene, ui, canvas);
  Page page{heading(plan, ui, scene, canvas.charset)};
  const std::size_t found = scene.order.size();
  const std::size_t room = rows == 0 ? found : rows > kOthers ? rows - kOthers : 0;
  const std::size_t first = first_row(scene, ui, room);
  const std::size_t last = std::min(found, first + room);
  for (std::size_t i = first; i < last; ++i) {
    const ContainerRow& row = scene.interval->containers[scene.order[i]];
    page.push_back(table_row(plan, row.name, row.values,
                             ui.selected && identity_of(*row.now) == *ui.selected, canvas.charset));
  }
  if (ui.query.filter.empty()) {
    page.push_back(
        table_row(plan, "(everything else)", scene.interval->rest, false, canvas.charset));
  }
  page.push_back(Line().add(counts(scene, ui, plan, first, last - first), Style::kDim));
  return page;
}

}  // namespace optipod::top
