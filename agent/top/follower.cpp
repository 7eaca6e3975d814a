// SPDX-License-Identifier: Apache-2.0
#include "agent/top/follower.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "agent/top/text.hpp"
#include "shm/layout.hpp"

namespace optipod::top {
namespace {

std::uint64_t now_boottime_ns() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

Follower::Follower(const Options& options, RecordingWriter* recording)
    : reader_({.path = options.segment, .owner_uid = options.owner_uid}),
      interval_(options.interval),
      recording_(recording) {}

bool Follower::poll() {
  if (!reader_.has_news() || !reader_.read(fresh_)) return false;
  const std::uint64_t before = history_.end();
  catch_up(fresh_.node.tick);
  take(fresh_);
  return history_.end() != before;
}

/// What was published between the last sample taken and this one, as far as it is still there.
void Follower::catch_up(std::uint64_t until) {
  std::uint64_t from = until - std::min<std::uint64_t>(until, shm::kTickHistory - 1);
  if (const SamplePtr last = history_.at(history_.end() - 1);
      last && last->epoch == reader_.epoch()) {
    from = std::max(from, last->tick.node.tick + 1);
  }
  for (std::uint64_t number = from; number < until; ++number) {
    if (reader_.read_back(number, older_)) take(older_);
  }
}

void Follower::take(const shm::Tick& tick) {
  const SamplePtr last = history_.at(history_.end() - 1);
  if (last && last->epoch == reader_.epoch()) {
    const auto since = tick.node.sampled_boottime_ns - last->tick.node.sampled_boottime_ns;
    const auto least = std::chrono::nanoseconds(interval_).count() * 9 / 10;
    if (tick.node.tick <= last->tick.node.tick || since < static_cast<std::uint64_t>(least)) return;
  }
  Sample sample{tick, reader_.epoch()};
  if (recording_ != nullptr && ended_.empty()) {
    const auto appended = recording_->append(sample);
    if (!appended) {
      ended_ = appended.error();
      failed_ = true;
    } else if (!*appended) {
      ended_ = fmt::format("recording {} is complete: --record-limit is reached, {} samples",
                           recording_->path(), recording_->samples());
    }
  }
  history_.add(std::move(sample));
}

AgentState Follower::state() const {
  AgentState out;
  out.attach = reader_.attach_state();
  out.writer = reader_.writer_state();
  out.detail = reader_.detail();
  if (history_.end() == history_.begin()) return out;
  const std::uint64_t now = now_boottime_ns();
  const std::uint64_t then = fresh_.node.sampled_boottime_ns;
  out.age_seconds = now > then ? static_cast<double>(now - then) / 1e9 : 0;
  return out;
}

std::string Follower::notice() const {
  if (recording_ == nullptr || !ended_.empty()) return ended_;
  return fmt::format("recording {}: {} samples, {}", recording_->path(), recording_->samples(),
                     show(static_cast<double>(recording_->bytes()), Unit::kBytes, Charset::kAscii));
}

}  // namespace optipod::top
