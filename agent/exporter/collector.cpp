// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/collector.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace optipod::exporter {

using shm::AttachState;
using shm::WriterState;

namespace {

constexpr std::size_t kMostViews = 4;  ///< whose text is kept; a scraper asks for one

}  // namespace

Collector::Collector(shm::ReaderOptions options) : reader_(std::move(options)) {}

void Collector::refresh() {
  const std::uint64_t known = tick_.node.tick;
  const bool read = reader_.read(tick_);
  writer_ = reader_.writer_state();
  if (read) {
    // A tick is known by its writer's life and its number; the same one needs no new text.
    if (tick_epoch_ != reader_.epoch() || known != tick_.node.tick) {
      for (Values& values : values_) values.current = false;
    }
    tick_epoch_ = reader_.epoch();
    ever_read_ = true;
  }
  // A tick that cannot be read any more (overwritten with nonsense, say) is not news either.
  up_ = read && writer_ == WriterState::kLive;
  log_changes();
}

void Collector::log_changes() {
  const bool attached = reader_.attach_state() == AttachState::kAttached;
  std::string state =
      attached ? shm::to_string(writer_) : std::string(shm::to_string(reader_.attach_state()));
  if (state == logged_) return;
  logged_ = std::move(state);
  if (attached && writer_ == WriterState::kLive) {
    spdlog::info("{}", logged_);
  } else if (attached) {
    spdlog::warn("{}; its values are off the page until it publishes again", logged_);
  } else {
    spdlog::warn("no segment to read: {}", reader_.detail().empty() ? logged_ : reader_.detail());
  }
}

const std::string& Collector::values(const View& view) {
  auto found = std::find_if(values_.begin(), values_.end(),
                            [&view](const Values& v) { return v.view == view; });
  if (found == values_.end()) {
    if (values_.size() < kMostViews) {
      found = values_.emplace(values_.end());
    } else {
      found = std::min_element(values_.begin(), values_.end(), [](const auto& a, const auto& b) {
        return a.last_used < b.last_used;
      });
    }
    found->view = view;
    found->current = false;
  }
  found->last_used = scrapes_;
  if (!found->current) {
    found->text.clear();
    hidden_ = renderer_.render(tick_, view, found->text);
    found->current = true;
  }
  return found->text;
}

void Collector::scrape(const View& view, std::string& out) {
  const std::lock_guard lock(mutex_);
  ++scrapes_;
  refresh();
  const auto begin = std::chrono::steady_clock::now();
  Status status{.up = up_};
  if (ever_read_) status.sampled_realtime_ns = tick_.node.sampled_realtime_ns;
  render_status(status, view, out);
  if (up_) out.append(values(view));
  render_ns_ += static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count());
  render_self(view, out);
  if (view.format == text::Format::kOpenMetrics) out.append(text::kOpenMetricsEnd);
}

bool Collector::ready() {
  const std::lock_guard lock(mutex_);
  if (!ever_read_) refresh();
  return ever_read_;
}

void Collector::render_self(const View& view, std::string& out) const {
  render_exporter({.attach = reader_.attach_state(),
                   .writer = writer_,
                   .counters = reader_.counters(),
                   .hidden = up_ ? hidden_ : 0,
                   .scrapes = scrapes_,
                   .render_ns = render_ns_},
                  self_, view, out);
}

}  // namespace optipod::exporter
