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

constexpr std::size_t kMostViews = 4;  ///< whose pages are kept; a scraper asks for one

/// Adds its life to a sum.
class Timer {
 public:
  explicit Timer(std::uint64_t& sum_ns) : sum_ns_(sum_ns) {}
  ~Timer() {
    sum_ns_ += static_cast<std::uint64_t>(
        std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin_).count());
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  std::uint64_t& sum_ns_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

Collector::Collector(shm::ReaderOptions options) : reader_(std::move(options)) {}

void Collector::refresh() {
  const std::uint64_t known = tick_.node.tick;
  const bool read = reader_.read(tick_);
  writer_ = reader_.writer_state();
  if (read) {
    // A tick is known by its writer's life and its number; the same one needs no new page.
    if (tick_epoch_ != reader_.epoch() || known != tick_.node.tick) {
      for (Compressed& values : compressed_) values.current = false;
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

Collector::Compressed& Collector::compressed(const View& view) {
  auto found = std::find_if(compressed_.begin(), compressed_.end(),
                            [&view](const Compressed& c) { return c.view == view; });
  if (found == compressed_.end()) {
    if (compressed_.size() == kMostViews) {
      compressed_.erase(
          std::min_element(compressed_.begin(), compressed_.end(),
                           [](const auto& a, const auto& b) { return a.last_used < b.last_used; }));
    }
    found = compressed_.emplace(compressed_.end(), view);
  }
  found->last_used = scrapes_;
  return *found;
}

/// What every page begins with.
void Collector::begin_page(const View& view, std::string& out) {
  ++scrapes_;
  refresh();
  Status status{.up = up_};
  if (ever_read_) status.sampled_realtime_ns = tick_.node.sampled_realtime_ns;
  render_status(status, view, out);
}

void Collector::scrape(const View& view, std::string& out) {
  const std::lock_guard lock(mutex_);
  out.reserve(out.size() + expected_size_);
  const std::size_t before = out.size();
  begin_page(view, out);
  if (up_) {
    const Timer timer(render_ns_);
    hidden_ = renderer_.render(tick_, view, out);
  }
  end_page(view, out);
  expected_size_ = (out.size() - before) / 16 * 17;
}

bool Collector::scrape_gzip(const View& view, std::string& out) {
  const std::lock_guard lock(mutex_);
  http::GzipWriter writer(out);
  text_.clear();
  begin_page(view, text_);
  bool good = writer.add(text_);
  if (up_) {
    const Timer timer(render_ns_);
    Compressed& values = compressed(view);
    if (!values.current) {
      values.page.begin();
      hidden_ = renderer_.render(tick_, view, values.page);
      values.current = values.page.end();
    }
    values.page.append_to(writer);
    good = good && values.current;
  }
  text_.clear();
  end_page(view, text_);
  good = writer.add(text_) && good;
  writer.finish();
  return good;
}

bool Collector::ready() {
  const std::lock_guard lock(mutex_);
  if (!ever_read_) refresh();
  return ever_read_;
}

/// What every page ends with.
void Collector::end_page(const View& view, std::string& out) const {
  render_exporter({.attach = reader_.attach_state(),
                   .writer = writer_,
                   .counters = reader_.counters(),
                   .hidden = up_ ? hidden_ : 0,
                   .scrapes = scrapes_,
                   .render_ns = render_ns_},
                  self_, view, out);
  if (view.format == text::Format::kOpenMetrics) out.append(text::kOpenMetricsEnd);
}

}  // namespace optipod::exporter
