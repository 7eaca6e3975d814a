// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include "agent/top/layout.hpp"

namespace optipod::top {
namespace {

constexpr std::size_t kRate = 11, kTaken = 11;

std::size_t name_columns(const Canvas& canvas, std::size_t names) {
  const std::size_t numbers = 2 + kRate + kTaken + 2 * names;
  return canvas.columns > numbers + 20 * names ? (canvas.columns - numbers) / names : 20;
}

std::string name(std::string_view raw, std::size_t columns, Charset charset) {
  return pad_right(cut_left(printable(raw, charset), columns, charset), columns);
}

void add_numbers(Line& line, const NeighbourRow& row, Charset charset) {
  line.add(pad_left(show(row.preemptions, Unit::kPerSecond, charset), kRate));
  line.add(pad_left(show(row.taken, Unit::kCpus, charset), kTaken),
           row.taken >= 0.25 ? Style::kWarn : Style::kPlain);
}

void add_headings(Line& line) {
  line.add(pad_left("times/s", kRate), Style::kHeading);
  line.add(pad_left("CPUs taken", kTaken), Style::kHeading);
}

/// One side of the pairs of a container.
void add_side(Page& page, const Scene& scene, const Identity& identity, bool as_victim,
              const Canvas& canvas) {
  const std::size_t columns = std::min<std::size_t>(60, name_columns(canvas, 1));
  Line heading;
  heading.add(pad_right(as_victim ? "  who takes its CPU" : "  whose CPU it takes", columns + 2),
              Style::kBold);
  add_headings(heading);
  page.push_back(std::move(heading));
  bool any = false;
  for (const NeighbourRow& row : scene.interval->neighbours) {
    if ((as_victim ? row.victim : row.aggressor) != identity) continue;
    Line line;
    line.add("  " +
             name(as_victim ? row.aggressor_name : row.victim_name, columns, canvas.charset));
    add_numbers(line, row, canvas.charset);
    page.push_back(std::move(line));
    any = true;
  }
  if (!any) page.push_back(Line().add("  nobody", Style::kDim));
}

}  // namespace

Page neighbours_page(const Scene& scene, const Canvas& canvas) {
  if (!scene.interval->knows_neighbours) {
    return {Line().add("  not known: this agent or its kernel does not tell who preempts whom",
                       Style::kDim)};
  }
  const std::size_t columns = name_columns(canvas, 2);
  Line heading;
  heading.add("  " + pad_right("takes the CPU", columns), Style::kHeading);
  heading.add("  " + pad_right("from", columns), Style::kHeading);
  add_headings(heading);
  Page page{std::move(heading)};
  for (const NeighbourRow& row : scene.interval->neighbours) {
    Line line;
    line.add("  " + name(row.aggressor_name, columns, canvas.charset), Style::kBold);
    line.add("  " + name(row.victim_name, columns, canvas.charset));
    add_numbers(line, row, canvas.charset);
    page.push_back(std::move(line));
  }
  if (scene.interval->neighbours.empty()) {
    page.push_back(Line().add("  nobody preempted anybody", Style::kDim));
  }
  return page;
}

Page neighbours_of(const Scene& scene, const Identity& identity, const Canvas& canvas) {
  Page page;
  if (!scene.interval->knows_neighbours) return page;
  page.emplace_back();
  add_side(page, scene, identity, true, canvas);
  page.emplace_back();
  add_side(page, scene, identity, false, canvas);
  return page;
}

}  // namespace optipod::top
