// SPDX-License-Identifier: Apache-2.0
#include "agent/top/view.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace optipod::top {
namespace {

constexpr std::string_view kAbsent = "–";
constexpr unsigned kNarrowestName = 16;

/// Characters as a terminal counts them: UTF-8 continuation bytes take no column.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string right(std::string_view text, std::size_t columns) {
  const std::size_t w = width(text);
  return std::string(columns > w ? columns - w : 0, ' ').append(text);
}

/// Cut on the left, where a path says least, or padded on the right.
std::string name_column(std::string_view name, std::size_t columns) {
  // Bytes of a cgroup's name are its owner's choice; control characters would move the cursor.
  std::string shown;
  for (const char c : name) shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  while (width(shown) > columns) {
    std::size_t drop = 1;
    while (drop < shown.size() && (shown[drop] & 0xC0) == 0x80) ++drop;
    shown.erase(0, drop);
    if (width(shown) == columns && columns > 1) {
      std::size_t first = 1;
      while (first < shown.size() && (shown[first] & 0xC0) == 0x80) ++first;
      shown.replace(0, first, "…");
    }
  }
  return shown + std::string(columns - width(shown), ' ');
}

template <class Format>
std::string cell(const std::optional<double>& value, Format format) {
  return value ? format(*value) : std::string(kAbsent);
}

std::string percent(double share) {
  return fmt::format("{:.0f}%", 100 * share);
}
std::string fixed2(double value) {
  return fmt::format("{:.2f}", value);
}

class Painter {
 public:
  explicit Painter(const Screen& screen) : screen_(screen) {}

  void line(std::string_view text, const char* attribute = "") {
    if (screen_.rows != 0 && lines_ + 1 >= screen_.rows) return;
    ++lines_;
    std::size_t bytes = 0, columns = 0;
    while (bytes < text.size() && columns < screen_.columns) {
      ++bytes;
      while (bytes < text.size() && (text[bytes] & 0xC0) == 0x80) ++bytes;
      ++columns;
    }
    const bool painted = screen_.colour && *attribute != '\0';
    if (painted) out_ += attribute;
    out_ += text.substr(0, bytes);
    if (painted) out_ += "\033[0m";
    out_ += '\n';
  }
  [[nodiscard]] std::string take() { return std::move(out_); }
  [[nodiscard]] bool full(unsigned reserve) const {
    return screen_.rows != 0 && lines_ + 1 + reserve >= screen_.rows;
  }

 private:
  const Screen& screen_;
  std::string out_;
  unsigned lines_ = 0;
};

constexpr const char* kBold = "\033[1m";
constexpr const char* kReverse = "\033[7m";
constexpr const char* kWarn = "\033[1;33m";
constexpr const char* kBad = "\033[1;31m";
constexpr const char* kDim = "\033[2m";

std::string_view writer_words(shm::WriterState state) {
  switch (state) {
    case shm::WriterState::kLive:
      return "agent live";
    case shm::WriterState::kHung:
      return "agent HUNG: it holds the segment but publishes nothing";
    case shm::WriterState::kGone:
      return "agent GONE: it ended without a clean stop";
    case shm::WriterState::kClosed:
      return "agent STOPPED";
    case shm::WriterState::kUnknown:
      break;
  }
  return "agent unknown";
}

void header(Painter& out, const State& s) {
  const auto& node = s.tick->node;
  const bool live = s.writer == shm::WriterState::kLive;
  out.line(fmt::format(" {}   Linux {}   {} CPUs{}   {}   sample {} old", node.node_name,
                       node.kernel_release, node.cpus,
                       std::string_view(node.cgroup_root) == "/"
                           ? std::string()
                           : fmt::format("   below {}", node.cgroup_root),
                       writer_words(s.writer), short_seconds(s.age_seconds)),
           live ? kReverse : kBad);
}

std::string bar(double share, std::size_t columns) {
  const auto full = static_cast<std::size_t>(
      std::lround(std::clamp(share, 0.0, 1.0) * static_cast<double>(columns)));
  return '[' + std::string(full, '|') + std::string(columns - full, ' ') + ']';
}

void node_lines(Painter& out, const State& s) {
  const Rates& r = s.delta->node;
  const auto cpus = static_cast<double>(std::max<std::uint64_t>(1, s.tick->node.cpus));
  const double used = r.cpus_used.value_or(0) / cpus;
  out.line(fmt::format(" CPU     {} used {}   {} waiting per CPU   wait p95 {}", bar(used, 20),
                       right(r.cpus_used ? percent(used) : std::string(kAbsent), 4),
                       right(cell(r.waiting, [&](double v) { return fixed2(v / cpus); }), 5),
                       cell(r.wait_p95_seconds, short_seconds)),
           r.waiting.value_or(0) / cpus >= 1      ? kBad
           : r.waiting.value_or(0) / cpus >= 0.25 ? kWarn
                                                  : "");
  out.line(fmt::format("         preempted {}/s by self, {}/s by others, {}/s by the system",
                       cell(r.preempted_by[shm::kBySelf], short_count),
                       cell(r.preempted_by[shm::kByOther], short_count),
                       cell(r.preempted_by[shm::kBySystem], short_count)));
  out.line(fmt::format("         switches {}/s voluntary, {}/s involuntary",
                       cell(r.switches[shm::kVoluntary], short_count),
                       cell(r.switches[shm::kInvoluntary], short_count)));
  const auto& node = s.tick->node;
  std::string memory(kAbsent);
  if ((node.valid & shm::kValidMemory) && node.memory_total_bytes > 0) {
    memory = percent(1 - static_cast<double>(node.memory_available_bytes) /
                             static_cast<double>(node.memory_total_bytes)) +
             " of " + short_bytes(static_cast<double>(node.memory_total_bytes));
  }
  const double memory_stall = r.stalled[shm::kMemory].value_or(0);
  out.line(
      fmt::format(" Memory  {} used   stalled {}", memory, cell(r.stalled[shm::kMemory], percent)),
      memory_stall >= 0.1    ? kBad
      : memory_stall >= 0.02 ? kWarn
                             : "");
  const double io_stall = r.stalled[shm::kIo].value_or(0);
  out.line(fmt::format(" I/O     stalled {}   read {}/s   written {}/s   p95 {}   {} in flight",
                       cell(r.stalled[shm::kIo], percent), cell(r.read_bytes, short_bytes),
                       cell(r.written_bytes, short_bytes), cell(r.block_p95_seconds, short_seconds),
                       cell(r.inflight, short_count)),
           io_stall >= 0.4   ? kBad
           : io_stall >= 0.1 ? kWarn
                             : "");
}

struct Column {
  const char* heading;
  std::size_t columns;
  std::string (*show)(const Rates&);
};

constexpr std::array<Column, 9> kColumns{{
    {"CPUs", 6, [](const Rates& r) { return cell(r.cpus_used, fixed2); }},
    {"waiting", 8, [](const Rates& r) { return cell(r.waiting, fixed2); }},
    {"wait p95", 9, [](const Rates& r) { return cell(r.wait_p95_seconds, short_seconds); }},
    {"by others", 10,
     [](const Rates& r) { return cell(r.preempted_by[shm::kByOther], short_count); }},
    {"mem", 5, [](const Rates& r) { return cell(r.stalled[shm::kMemory], percent); }},
    {"I/O", 5, [](const Rates& r) { return cell(r.stalled[shm::kIo], percent); }},
    {"read/s", 8, [](const Rates& r) { return cell(r.read_bytes, short_bytes); }},
    {"write/s", 8, [](const Rates& r) { return cell(r.written_bytes, short_bytes); }},
    {"disk p95", 9, [](const Rates& r) { return cell(r.block_p95_seconds, short_seconds); }},
}};

void table(Painter& out, const State& s, const Screen& screen) {
  std::size_t fixed = 1;
  for (const auto& column : kColumns) fixed += column.columns;
  const std::size_t name =
      std::max<std::size_t>(kNarrowestName, screen.columns > fixed ? screen.columns - fixed : 0);
  std::string heading = ' ' + name_column("container or cgroup", name);
  for (const auto& column : kColumns) heading += right(column.heading, column.columns);
  out.line("");
  out.line(heading, kBold);
  const auto show = [&](const std::string& label, const Rates& rates) {
    std::string row = ' ' + name_column(label, name);
    for (const auto& column : kColumns) row += right(column.show(rates), column.columns);
    const double waiting = rates.waiting.value_or(0);
    out.line(row, waiting >= 1 ? kBad : waiting >= 0.1 ? kWarn : "");
  };
  std::size_t shown = 0;
  for (const auto& container : s.delta->containers) {
    if (out.full(2 + screen.footer_lines())) break;
    show(container.name, container.rates);
    ++shown;
  }
  show("(everything else)", s.delta->rest);
  const std::size_t hidden = s.delta->containers.size() - shown;
  const std::uint64_t cut = s.tick->node.containers_cut;
  if (hidden > 0 || cut > 0) {
    out.line(
        fmt::format(" … {} more{}", hidden,
                    cut > 0 ? fmt::format(", and {} without an own series (--max-containers)", cut)
                            : std::string()),
        kDim);
  }
}

std::string scaled(double value, double base, std::string_view prefixes, std::string_view unit) {
  std::size_t k = 0;
  while (std::abs(value) >= 999.5 && k < prefixes.size()) value /= base, ++k;
  const int digits = k == 0 || std::abs(value) >= 99.95 ? 0 : 1;
  return fmt::format("{:.{}f}{}{}", value, digits,
                     k == 0 ? std::string_view() : prefixes.substr(k - 1, 1), unit);
}

}  // namespace

std::string short_count(double value) {
  return scaled(value, 1000, "kMGTPE", "");
}
std::string short_bytes(double value) {
  return scaled(value, 1024, "KMGTPE", "B");
}

std::string short_seconds(double value) {
  if (value < 999.5e-9) return fmt::format("{:.0f}ns", value * 1e9);
  if (value < 999.5e-6) return fmt::format("{:.{}f}µs", value * 1e6, value < 9.95e-6 ? 1 : 0);
  if (value < 999.5e-3) return fmt::format("{:.{}f}ms", value * 1e3, value < 99.5e-3 ? 1 : 0);
  if (value < 119.5) return fmt::format("{:.1f}s", value);
  return fmt::format("{:.0f}min", value / 60);
}

std::string render(const State& state, const Screen& screen) {
  Painter out(screen);
  if (state.tick == nullptr) {
    out.line(
        fmt::format(" no data: {}", state.detail.empty() ? to_string(state.attach) : state.detail),
        kBad);
  } else {
    header(out, state);
    if (state.attach != shm::AttachState::kAttached) out.line(" " + state.detail, kBad);
    if (state.delta) {
      node_lines(out, state);
      table(out, state, screen);
    } else {
      out.line(" measuring: rates need two samples …", kDim);
    }
  }
  if (!screen.footer.empty()) {
    out.line("");
    std::istringstream lines(screen.footer);
    for (std::string line; std::getline(lines, line);) out.line(" " + line, kDim);
  }
  return out.take();
}

}  // namespace optipod::top
