// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "agent/exporter/render.hpp"
#include "common/text/self_metrics.hpp"
#include "shm/tick.hpp"

namespace optipod::exporter {

/// From the segment to the page. Every call looks at the segment afresh: a new writer is attached
/// to, a writer that is gone, hung, closed or unreadable takes its values off the page at once.
/// Changes of that kind are logged, once each. Thread-safe; calls take turns, and one that finds
/// the tick of the call before shares its text.
class Collector {
 public:
  explicit Collector(shm::ReaderOptions options);

  /// Appends the whole page: node, containers, agent, exporter.
  void scrape(std::string& out);
  /// True once a tick was ever read. Looks at the segment while that is not so.
  bool ready();

 private:
  void refresh();
  void log_changes();
  void render_self(std::string& out) const;

  std::mutex mutex_;
  shm::TickReader reader_;
  shm::Tick tick_;
  bool ever_read_ = false;        ///< tick_ is one
  std::uint64_t tick_epoch_ = 0;  ///< the writer's life tick_ is of
  shm::WriterState writer_ = shm::WriterState::kUnknown;
  Renderer renderer_;
  std::string values_;     ///< tick_ as text
  bool rendered_ = false;  ///< values_ is up to date with tick_
  bool up_ = false;
  std::string logged_;  ///< the state that was logged last
  std::uint64_t scrapes_ = 0, render_ns_ = 0;
  std::size_t hidden_ = 0;
  text::SelfMetrics self_{"exporter"};
};

}  // namespace optipod::exporter
