// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>

#include "agent/exporter/compressed_page.hpp"
#include "agent/exporter/render.hpp"
#include "common/text/self_metrics.hpp"
#include "shm/tick.hpp"

namespace optipod::exporter {

/// From the segment to the page. Every call looks at the segment afresh: a new writer is attached
/// to, a writer that is gone, hung, closed or unreadable takes its values off the page at once.
/// Changes of that kind are logged, once each. Thread-safe; calls take turns.
class Collector {
 public:
  explicit Collector(shm::ReaderOptions options);

  /// Appends the whole page: node, containers, agent, exporter.
  void scrape(const View& view, std::string& out);
  /// The same as one gzip member, of which what a call before found too is kept (CompressedPage).
  /// Not of Protobuf. False leaves `out` unspecified.
  bool scrape_gzip(const View& view, std::string& out);
  /// True once a tick was ever read. Looks at the segment while that is not so.
  bool ready();

 private:
  struct Compressed {
    explicit Compressed(const View& wanted) : view(wanted), page(view.format, view.buckets) {}
    View view;
    CompressedPage page;          ///< tick_ as the view wants it
    bool current = false;         ///< up to date with tick_
    std::uint64_t last_used = 0;  ///< scrapes_ then
  };

  void refresh();
  void log_changes();
  Compressed& compressed(const View& view);
  void begin_page(const View& view, std::string& out);
  void end_page(const View& view, std::string& out) const;

  std::mutex mutex_;
  shm::TickReader reader_;
  shm::Tick tick_;
  bool ever_read_ = false;        ///< tick_ is one
  std::uint64_t tick_epoch_ = 0;  ///< the writer's life tick_ is of
  shm::WriterState writer_ = shm::WriterState::kUnknown;
  Renderer renderer_;
  std::list<Compressed> compressed_;  ///< of the views asked for last
  std::string text_;                  ///< what compressed_ has not
  std::size_t expected_size_ = 0;     ///< of the next page of text, if it is like the last
  bool up_ = false;
  std::string logged_;  ///< the state that was logged last
  std::uint64_t scrapes_ = 0, render_ns_ = 0;
  std::size_t hidden_ = 0;
  text::SelfMetrics self_{"exporter"};
};

}  // namespace optipod::exporter
