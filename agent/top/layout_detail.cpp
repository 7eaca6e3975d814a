// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "agent/top/histogram.hpp"
#include "agent/top/layout.hpp"

namespace optipod::top {
namespace {

constexpr std::size_t kHistogramColumns = 40;

void append(Page& page, Page more) {
  for (Line& line : more) page.push_back(std::move(line));
}

std::string bound(std::size_t bucket, Charset charset) {
  if (bucket + 1 == shm::kHistogramBuckets) return "more";
  return show(std::ldexp(1.0, static_cast<int>(bucket)) / 1e9, Unit::kSeconds, charset);
}

/// Bars of the buckets from the first to the last that is not empty, the fullest one fills its
/// line.
Page histogram_page(std::string_view name, const shm::Histogram& histogram, std::size_t columns,
                    Charset charset) {
  Page page;
  const double total = events(histogram);
  page.push_back(Line().add(fmt::format(" {}", name), Style::kBold));
  if (total == 0) {
    page.push_back(Line().add(" nothing happened", Style::kDim));
    return page;
  }
  const auto at = [&](double q) { return show(quantile(histogram, q), Unit::kSeconds, charset); };
  page.push_back(
      Line().add(fmt::format(" {}: p50 {}  p95 {}  p99 {}", show(total, Unit::kCount, charset),
                             at(0.5), at(0.95), at(0.99)),
                 Style::kDim));
  const auto& buckets = histogram.bucket;
  const auto some = [](std::uint64_t n) { return n > 0; };
  const auto first = std::find_if(std::begin(buckets), std::end(buckets), some);
  const auto last = std::find_if(std::make_reverse_iterator(std::end(buckets)),
                                 std::make_reverse_iterator(first), some)
                        .base();
  const auto fullest = static_cast<double>(*std::max_element(first, last));
  constexpr std::size_t kBound = 8, kCount = 8;
  const std::size_t room = columns > kBound + kCount + 4 ? columns - kBound - kCount - 4 : 1;
  for (const auto* bucket = first; bucket != last; ++bucket) {
    const auto n = static_cast<double>(*bucket);
    const auto k = static_cast<std::size_t>(bucket - std::begin(buckets));
    Line line;
    line.add(pad_left(bound(k, charset), kBound));
    line.add(" " + bar(n / fullest, room, charset), Style::kAccent);
    line.add(pad_left(show(n, Unit::kCount, charset), kCount));
    page.push_back(std::move(line));
  }
  return page;
}

Page side_by_side(std::vector<Page> pages, std::size_t columns) {
  const std::size_t across = std::max<std::size_t>(1, columns / kHistogramColumns);
  Page out;
  for (std::size_t i = 0; i < pages.size(); i += across) {
    Page row;
    for (std::size_t k = i; k < std::min(i + across, pages.size()); ++k) {
      row = beside(std::move(row), (k - i) * kHistogramColumns, std::move(pages[k]));
    }
    append(out, std::move(row));
    if (i + across < pages.size()) out.emplace_back();
  }
  return out;
}

/// Every signal: its value, its last minute, what it means.
template <class Record>
Page signals_page(std::span<const Signal<Record>> signals, const Values& values, const Trend& trend,
                  const Canvas& canvas) {
  constexpr std::size_t kTitle = 11, kValue = 9, kLeastSpark = 20;
  const std::size_t spark =
      std::clamp<std::size_t>(canvas.columns / 4, kLeastSpark, kTrendIntervals);
  Page page;
  for (std::size_t i = 0; i < signals.size(); ++i) {
    const auto& signal = signals[i];
    const auto history = series(trend, i);
    double full = signal.unit == Unit::kShare ? 1 : 1e-9;
    for (const auto& value : history) full = std::max(full, value.value_or(0));
    const Style style = severity(signal, values[i]);
    Line line;
    line.add(style == Style::kBad ? " !" : style == Style::kWarn ? " *" : "  ", style);
    line.add(pad_right(signal.title, kTitle), Style::kBold);
    line.add(pad_left(show(values[i], signal.unit, canvas.charset), kValue), style);
    line.add("  " + sparkline(history, full, spark, canvas.charset), Style::kAccent);
    line.add(std::string("  ") + signal.help, Style::kDim);
    page.push_back(std::move(line));
  }
  return page;
}

std::string since(double seconds) {
  return fmt::format("last {:.0f} s", seconds);
}

Page container_histograms(const Window<shm::ContainerRecord>& window, const Canvas& canvas) {
  std::vector<Page> pages;
  const auto add = [&](std::uint64_t bit, std::string_view name, const shm::Histogram& was,
                       const shm::Histogram& is) {
    if (!(window.before->valid & window.now->valid & bit)) return;
    pages.push_back(histogram_page(fmt::format("{}, {}", name, since(window.seconds)),
                                   added(was, is), kHistogramColumns - 2, canvas.charset));
  };
  const auto &was = *window.before, &is = *window.now;
  add(shm::kValidRunqueueWait, "wait for a CPU", was.cpu.runqueue_wait, is.cpu.runqueue_wait);
  add(shm::kValidBlockIo, "reads from disk", was.block.latency[shm::kRead],
      is.block.latency[shm::kRead]);
  add(shm::kValidBlockIo, "writes to disk", was.block.latency[shm::kWrite],
      is.block.latency[shm::kWrite]);
  return side_by_side(std::move(pages), canvas.columns);
}

Page identity_lines(const shm::ContainerRecord& c, Charset charset) {
  const auto text = [&](const char* field) { return printable(field, charset); };
  Page page;
  if (c.namespace_[0] == '\0') {
    page.push_back(Line().add(" " + text(c.container), Style::kBold));
    page.push_back(Line().add(fmt::format(" cgroup {}", c.cgroup_id), Style::kDim));
    return page;
  }
  page.push_back(Line()
                     .add(fmt::format(" {}/{}  ", text(c.namespace_), text(c.pod)), Style::kBold)
                     .add(fmt::format("container {}  {}", text(c.container), text(c.qos))));
  page.push_back(Line().add(fmt::format(" pod uid {}  container {}  cgroup {}", text(c.pod_uid),
                                        text(c.container_id).substr(0, 12), c.cgroup_id),
                            Style::kDim));
  return page;
}

}  // namespace

Page zoom_page(const Scene& scene, const Canvas& canvas) {
  if (!scene.zoom) return {Line().add(" no container is chosen: Esc, then up/down", Style::kDim)};
  const ContainerRow* found = nullptr;
  for (const auto& row : scene.interval->containers) {
    if (identity_of(*row.now) == scene.zoom->identity) found = &row;
  }
  if (found == nullptr) {
    return {Line().add(" this container is not there at this time: it ended, or had not begun",
                       Style::kWarn)};
  }
  Page page = identity_lines(*found->now, canvas.charset);
  page.emplace_back();
  append(page, signals_page<shm::ContainerRecord>(container_signals(), found->values,
                                                  scene.zoom->trend, canvas));
  append(page, neighbours_of(scene, scene.zoom->identity, canvas));
  if (scene.zoom->window.before != nullptr) {
    page.emplace_back();
    append(page, container_histograms(scene.zoom->window, canvas));
  }
  return page;
}

namespace {

/// Why packets were dropped, the most frequent first.
Page drops_page(const Window<shm::NodeRecord>& window, Charset charset) {
  struct Row {
    double rate;
    std::string reason;
  };
  std::vector<Row> rows;
  const auto& was = *window.before;
  const auto& is = *window.now;
  for (std::size_t i = 0; i < is.drop_count; ++i) {
    // A reason keeps its place, and is not there before its first packet.
    const std::uint64_t before = i < was.drop_count ? was.drops[i].packets : 0;
    if (is.drops[i].packets <= before) continue;
    rows.push_back({static_cast<double>(is.drops[i].packets - before) / window.seconds,
                    printable(is.drops[i].reason, charset)});
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.rate > b.rate; });
  Page page{Line().add(" packets dropped, " + since(window.seconds), Style::kBold)};
  if (rows.empty()) page.push_back(Line().add("   none", Style::kDim));
  for (const Row& row : rows)
    page.push_back(Line()
                       .add(pad_left(show(row.rate, Unit::kPerSecond, charset), 10) + "/s  ")
                       .add(row.reason));
  return page;
}

}  // namespace

Page node_page(const Scene& scene, const Canvas& canvas) {
  Page page =
      signals_page<NodeMoment>(node_signals(), scene.interval->node, scene.node_trend, canvas);
  const auto& window = scene.node_window;
  if (window.before != nullptr &&
      (window.before->valid & window.now->valid & shm::kValidRunqueueWait)) {
    page.emplace_back();
    append(page, histogram_page(
                     "wait for a CPU, " + since(window.seconds),
                     added(window.before->cpu.runqueue_wait, window.now->cpu.runqueue_wait),
                     std::min<std::size_t>(canvas.columns, 2 * kHistogramColumns), canvas.charset));
  }
  if (window.before != nullptr &&
      (window.before->valid & window.now->valid & shm::kValidPacketDrops) != 0) {
    page.emplace_back();
    append(page, drops_page(window, canvas.charset));
  }
  return page;
}

}  // namespace optipod::top
