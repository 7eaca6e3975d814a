// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/collector.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <string_view>
#include <utility>

#include "common/text/exposition.hpp"

namespace optipod::exporter {
namespace {

using shm::AttachState;
using shm::WriterState;
using text::MetricType;

// Short names for labels; the sentences of to_string() are for people.
constexpr std::array<std::pair<AttachState, std::string_view>, 7> kAttachStates = {{
    {AttachState::kAttached, R"(state="attached")"},
    {AttachState::kNoSegment, R"(state="no_segment")"},
    {AttachState::kRefused, R"(state="refused")"},
    {AttachState::kTruncated, R"(state="truncated")"},
    {AttachState::kForeign, R"(state="foreign")"},
    {AttachState::kAbiMismatch, R"(state="abi_mismatch")"},
    {AttachState::kCorrupt, R"(state="corrupt")"},
}};
constexpr std::array<std::pair<WriterState, std::string_view>, 5> kWriterStates = {{
    {WriterState::kUnknown, R"(state="unknown")"},
    {WriterState::kLive, R"(state="live")"},
    {WriterState::kHung, R"(state="hung")"},
    {WriterState::kGone, R"(state="gone")"},
    {WriterState::kClosed, R"(state="closed")"},
}};

}  // namespace

Collector::Collector(shm::ReaderOptions options) : reader_(std::move(options)) {}

void Collector::refresh() {
  const std::uint64_t known = tick_.node.tick;
  const bool read = reader_.read(tick_);
  writer_ = reader_.writer_state();
  if (read) {
    // A tick is known by its writer's life and its number; the same one needs no new text.
    if (tick_epoch_ != reader_.epoch() || known != tick_.node.tick) rendered_ = false;
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

void Collector::scrape(std::string& out) {
  const std::lock_guard lock(mutex_);
  ++scrapes_;
  refresh();
  const auto begin = std::chrono::steady_clock::now();
  render_status(up_, ever_read_ ? std::optional(tick_.node.sampled_realtime_ns) : std::nullopt,
                out);
  if (up_) {
    if (!rendered_) {
      values_.clear();
      hidden_ = renderer_.render(tick_, values_);
      rendered_ = true;
    }
    out.append(values_);
  }
  render_ns_ += static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count());
  render_self(out);
}

bool Collector::ready() {
  const std::lock_guard lock(mutex_);
  if (!ever_read_) refresh();
  return ever_read_;
}

void Collector::render_self(std::string& out) const {
  text::ExpositionWriter page(out);
  page.family("optipod_exporter_attach_state", MetricType::kGauge,
              "1 for what the exporter found at the segment's path, 0 for the other states.");
  for (const auto& [state, label] : kAttachStates) {
    page.sample(label, std::uint64_t{reader_.attach_state() == state});
  }
  page.family("optipod_exporter_writer_state", MetricType::kGauge,
              "1 for the state of the segment's writer, the agent, 0 for the other states.");
  for (const auto& [state, label] : kWriterStates) {
    page.sample(label, std::uint64_t{writer_ == state});
  }
  const auto one = [&](std::string_view name, MetricType type, std::string_view help,
                       std::uint64_t value) {
    page.family(name, type, help);
    page.sample({}, value);
  };
  const shm::TickReader::Counters& counters = reader_.counters();
  one("optipod_exporter_attaches_total", MetricType::kCounter,
      "Segments attached to; more than one: the agent was restarted.", counters.attaches);
  one("optipod_exporter_ticks_read_total", MetricType::kCounter, "Ticks read from the segment.",
      counters.ticks_read);
  one("optipod_exporter_ticks_lost_total", MetricType::kCounter,
      "Ticks overwritten before a scrape read them; usual when scrapes are rarer than ticks.",
      counters.ticks_lost);
  one("optipod_exporter_ticks_torn_total", MetricType::kCounter,
      "Copies of a tick thrown away because the agent overwrote it meanwhile.", counters.torn);
  one("optipod_exporter_records_corrupt_total", MetricType::kCounter,
      "Records left out because their content cannot be right.", counters.corrupt);
  one("optipod_exporter_records_hidden", MetricType::kGauge,
      "Records not shown because a newer one has the same labels.", up_ ? hidden_ : 0);
  one("optipod_exporter_scrapes_total", MetricType::kCounter, "Pages served.", scrapes_);
  page.family("optipod_exporter_render_seconds_total", MetricType::kCounter,
              "Time spent turning ticks into text.");
  page.sample({}, static_cast<double>(render_ns_) / 1e9);
  self_.render(out);
}

}  // namespace optipod::exporter
