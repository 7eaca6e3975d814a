// SPDX-License-Identifier: Apache-2.0
//
// Screens: what is known, as lines of text. Pure. One file a screen's kind:
// layout.cpp the frame, layout_pods.cpp the node and its containers, layout_detail.cpp one thing
// with its histograms, layout_lists.cpp disks, agent, column chooser, help, layout_neighbours.cpp
// who takes whose CPU.
#pragma once

#include "agent/top/page.hpp"
#include "agent/top/scene.hpp"
#include "agent/top/signals.hpp"
#include "agent/top/ui.hpp"

namespace optipod::top {

inline constexpr std::size_t kLeastColumns = 80, kLeastRows = 24;

/// The whole screen, exactly canvas.rows lines (0: as many as there are, without the line of keys).
/// A canvas that is too small gets a line that says so.
Page draw(const Scene& scene, const Ui& ui, const Canvas& canvas);

/// Rows that the table of containers has on this canvas: a page's worth for the keys.
std::size_t table_rows(const Scene& scene, const Canvas& canvas);

// ---- What draw() is made of.

/// The node's lines with trends; nothing before the first interval.
Page node_meters(const Scene& scene, const Canvas& canvas);
/// Heading and rows, `rows` lines at most (0: all).
Page pods_table(const Scene& scene, const Ui& ui, const Canvas& canvas, std::size_t rows);
Page zoom_page(const Scene& scene, const Canvas& canvas);
Page node_page(const Scene& scene, const Canvas& canvas);
Page disks_page(const Scene& scene, const Canvas& canvas);
Page agent_page(const Scene& scene, const Canvas& canvas);
Page neighbours_page(const Scene& scene, const Canvas& canvas);
/// Whose CPU one container takes, and who takes its; empty where the kernel does not tell.
Page neighbours_of(const Scene& scene, const Identity& identity, const Canvas& canvas);
Page columns_page(const Ui& ui, const Canvas& canvas, std::size_t rows);
Page help_page(const Canvas& canvas);

/// How bad a value is, by its signal's thresholds.
template <class Record>
Style severity(const Signal<Record>& signal, const std::optional<double>& value) {
  if (value && signal.bad > 0 && *value >= signal.bad) return Style::kBad;
  if (value && signal.warn > 0 && *value >= signal.warn) return Style::kWarn;
  return Style::kPlain;
}

/// One signal's values over a trend's time.
std::vector<std::optional<double>> series(const Trend& trend, std::size_t signal);

}  // namespace optipod::top
