// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/page.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numbers>
#include <optional>

#include <fmt/format.h>

namespace optipod::sim {
namespace {

constexpr std::string_view kTime = "optipod_sample_timestamp_seconds";
constexpr std::string_view kHead = "# recorded over ";
constexpr double kDaySeconds = 86'400, kLifeSeconds = 30 * kDaySeconds;

struct Sample {
  std::string_view series, value, extra;
};

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Sample> split(std::string_view line) {
  const std::size_t labels = line.rfind('}');
  const std::size_t blank = line.find(' ', labels == std::string_view::npos ? 0 : labels);
  if (blank == std::string_view::npos) return std::nullopt;
  Sample sample{line.substr(0, blank), line.substr(blank + 1), {}};
  if (const auto next = sample.value.find(' '); next != std::string_view::npos) {
    sample.extra = sample.value.substr(next + 1);
    sample.value = sample.value.substr(0, next);
  }
  return sample;
}

template <class Use>
void each_line(std::string_view text, Use use) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1);
    use(text.substr(0, text[end] == '\n' ? end : end + 1));
    text.remove_prefix(end + 1);
  }
}

/// node="x" and pod="x" get the mark.
std::string marked(std::string_view series) {
  std::string out(series);
  for (const std::string_view label : {"{node=\"", ",pod=\"", ",by_pod=\""}) {
    const auto at = out.find(label);
    if (at == std::string::npos) continue;
    const auto end = out.find('"', at + label.size());
    if (end == std::string::npos || end == at + label.size()) continue;
    out.insert(end, std::string("-").append(kNumberMark));
  }
  return out;
}

bool is_node_level(std::string_view line) {
  if (line.starts_with("# "))
    line.remove_prefix(std::min<std::size_t>(line.size(), 7));  // HELP, TYPE
  return line.starts_with("optipod_node_") || line.starts_with("optipod_agent_up") ||
         line.starts_with(kTime);
}

/// A number in 0..1 that is the node's own, another for each `salt`.
double own(std::size_t node, std::uint64_t salt) {
  std::uint64_t x = (node + 1) * 0x9e3779b97f4a7c15ULL + salt * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 31)) * 0x94d049bb133111ebULL;
  x ^= x >> 29;
  return static_cast<double>(x >> 11) / 9007199254740992.0;
}

}  // namespace

tl::expected<std::string, std::string> make_template(std::string_view earlier,
                                                     std::string_view later, double seconds) {
  std::map<std::string_view, std::string_view> after;
  each_line(later, [&](std::string_view line) {
    if (const auto sample = split(line); sample && line[0] != '#')
      after[sample->series] = sample->value;
  });
  std::string out = fmt::format("{}{} seconds\n", kHead, seconds);
  bool timed = false;
  std::string_view type;
  each_line(earlier, [&](std::string_view line) {
    if (line.empty()) return;
    if (line[0] == '#') {
      if (line.starts_with("# TYPE ")) type = line.substr(line.rfind(' ') + 1);
      out.append(line).append("\n");
      return;
    }
    const auto sample = split(line);
    if (!sample) return;
    out.append(marked(sample->series)).append(" ").append(sample->value);
    timed = timed || sample->series == kTime;
    const auto found = after.find(sample->series);
    const auto old_value = number(sample->value),
               new_value = found == after.end() ? std::nullopt : number(found->second);
    if (old_value && new_value && *old_value != *new_value && sample->series != kTime) {
      if (type != "gauge" && *new_value > *old_value) {
        out += fmt::format(" +{:.9g}", *new_value - *old_value);
      } else if (type == "gauge" && sample->series.find("_bytes") != std::string_view::npos) {
        out += " ~";
      }
    }
    out += '\n';
  });
  if (!timed) {
    return tl::unexpected(fmt::format(
        "the page has no {}: it is no optipod-exporter's, or its agent is not alive", kTime));
  }
  return out;
}

tl::expected<Page, std::string> Page::parse(std::string_view text, Part part,
                                            std::int64_t begin_ms) {
  if (!text.starts_with(kHead)) {
    return tl::unexpected(std::string("it does not begin with \"") + std::string(kHead) +
                          "N seconds\"; make one with --record");
  }
  const std::string_view head = text.substr(kHead.size(), text.find('\n') - kHead.size());
  const auto seconds = number(head.substr(0, head.find(' ')));
  if (!seconds || !(*seconds > 0)) {
    return tl::unexpected(fmt::format("\"{}\" in its first line is no time", head));
  }
  Page page;
  page.begin_ms_ = begin_ms;
  each_line(text.substr(std::min(text.find('\n'), text.size() - 1) + 1),
            [&](std::string_view line) {
              if (!line.empty() && (part == Part::kAll || is_node_level(line)))
                page.add_line(line, *seconds);
            });
  if (page.series_ == 0) return tl::unexpected(std::string("it has no series"));
  return page;
}

void Page::add_line(std::string_view line, double seconds) {
  if (line[0] == '#') {
    text_.append(line).append("\n");
    return;
  }
  const auto sample = split(line);
  if (!sample) return;
  ++series_;
  const std::size_t begin = text_.size();
  text_.append(sample->series).append(" ");
  for (auto at = text_.find(kNumberMark, begin); at != std::string::npos;
       at = text_.find(kNumberMark, at + 1)) {
    numbers_.push_back(at + kNumberMark.size());
  }
  if (sample->series == kTime) {
    text_.append("1234567890.123");
    times_.push_back({.at = text_.size(), .digits = 13, .decimals = 3});
  } else if (sample->extra.starts_with('+')) {
    add_counter(sample->value, sample->extra.substr(1), seconds);
  } else if (sample->extra == "~" && number(sample->value).value_or(0) >= 10) {
    const std::string whole = fmt::format("{:.0f}", *number(sample->value));
    text_.append(whole);
    gauges_.push_back({.at = text_.size(),
                       .digits = static_cast<unsigned>(whole.size()),
                       .base = std::stod(whole)});
  } else {
    text_.append(sample->value);
  }
  text_ += '\n';
}

/// Its width is the one it has at the end: shorter numbers are lifted, so that no digit ever moves.
void Page::add_counter(std::string_view value, std::string_view increase, double seconds) {
  const double from = number(value).value_or(0), more = number(increase).value_or(0);
  const bool whole = from == std::floor(from) && more == std::floor(more);
  const unsigned decimals = whole ? 0 : 6;
  const double unit = whole ? 1 : 1e6;
  const double last = (from + more / seconds * kLifeSeconds) * unit;
  unsigned digits = 1 + decimals;
  while (digits < 18 && last + std::pow(10.0, digits - 1) >= std::pow(10.0, digits)) ++digits;
  const double base = std::floor(from * unit) + std::pow(10.0, digits - 1);
  text_.append(digits, '0');
  if (decimals > 0) text_.insert(text_.size() - decimals, ".");
  counters_.push_back({.at = text_.size(),
                       .digits = digits,
                       .decimals = decimals,
                       .base = base,
                       .per_second = more / seconds * unit});
}

void Page::write(const Slot& slot, std::uint64_t value) {
  char* at = text_.data() + slot.at;
  unsigned left = slot.digits;
  for (unsigned i = 0; i < slot.decimals; ++i, --left, value /= 10) {
    *--at = static_cast<char>('0' + value % 10);
  }
  if (slot.decimals > 0) --at;
  for (; left > 0; --left, value /= 10) *--at = static_cast<char>('0' + value % 10);
}

std::string_view Page::at(std::size_t node, std::int64_t now_ms) {
  for (const std::size_t at : numbers_) write({.at = at, .digits = 5}, node);
  for (const Slot& slot : times_) write(slot, static_cast<std::uint64_t>(now_ms));
  // A time of the node's own, in which everything on it happens at the recorded speed: from 0.1 to
  // 0.8 of it, half faster and half slower in turn.
  const double since = static_cast<double>(std::max(now_ms - begin_ms_, std::int64_t{0})) / 1e3;
  const double seconds = std::fmod(since + own(node, 0) * kDaySeconds, kLifeSeconds);
  const double speed = 0.1 + 0.7 * own(node, 1), turn = 300 + 600 * own(node, 2);
  const double phase = 2 * std::numbers::pi * (seconds / turn + own(node, 3));
  const double spent =
      speed * (seconds - 0.5 * turn / (2 * std::numbers::pi) * std::cos(phase)) + turn;
  for (const Slot& slot : counters_) {
    auto value = static_cast<std::uint64_t>(slot.base + slot.per_second * spent);
    if (slot.decimals > 0 && value % 10 == 0) ++value;  // the shortest text has no zero at its end
    write(slot, value);
  }
  const double share = 0.75 + 0.1 * std::sin(phase) + 0.15 * own(node, 4);
  for (const Slot& slot : gauges_) {
    const double least = std::pow(10.0, slot.digits - 1);
    write(slot, static_cast<std::uint64_t>(std::max(least, slot.base * std::min(share, 1.0))));
  }
  return text_;
}

}  // namespace optipod::sim
