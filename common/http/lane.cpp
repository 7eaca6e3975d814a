// SPDX-License-Identifier: Apache-2.0
#include "common/http/lane.hpp"

#include <utility>

namespace optipod::http {

bool Lane::try_enter() {
  const std::lock_guard lock(mutex_);
  if (closed_ || active_ >= limits_.max_active) return false;
  ++active_;
  return true;
}

Turn Lane::wait(Time arrival, Resume resume) {
  const std::lock_guard lock(mutex_);
  if (closed_) return Turn::kStopping;
  if (active_ < limits_.max_active) {  // one became free meanwhile
    ++active_;
    return Turn::kRun;
  }
  if (queue_.size() >= limits_.max_queued) return Turn::kQueueFull;
  queue_.push_back({arrival, std::move(resume)});
  arm_timer();
  return Turn::kWait;
}

void Lane::leave() {
  std::vector<Resume> late;
  Resume next;
  {
    const std::lock_guard lock(mutex_);
    if (!queue_.empty()) take_late(std::chrono::steady_clock::now(), late);
    if (queue_.empty()) {
      --active_;
    } else {  // the place passes on
      next = std::move(queue_.front().resume);
      queue_.pop_front();
    }
  }
  for (const Resume& resume : late) resume(Turn::kDeadline);
  if (next) next(Turn::kRun);
}

void Lane::close() {
  std::deque<Waiting> all;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    all.swap(queue_);
  }
  for (const Waiting& waiting : all) waiting.resume(Turn::kStopping);
}

void Lane::clear() {
  std::deque<Waiting> all;  // ends without the lock: what waits may call back
  const std::lock_guard lock(mutex_);
  closed_ = true;
  all.swap(queue_);
}

Lane::Load Lane::load() const {
  const std::lock_guard lock(mutex_);
  return {active_, queue_.size()};
}

bool Lane::late(const Waiting& waiting, Time now) const {
  return limits_.deadline && now - waiting.arrival > *limits_.deadline;
}

/// They stand in the order they came, so that the late ones are in front.
void Lane::take_late(Time now, std::vector<Resume>& out) {
  while (!queue_.empty() && late(queue_.front(), now)) {
    out.push_back(std::move(queue_.front().resume));
    queue_.pop_front();
  }
}

/// One timer for all: it fires for the first, and then looks who is first by then.
void Lane::arm_timer() {
  if (armed_ || queue_.empty() || !limits_.deadline) return;
  armed_ = true;
  // Past the deadline, not at it.
  timer_.expires_at(queue_.front().arrival + *limits_.deadline + std::chrono::microseconds(1));
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) on_timer();
  });
}

void Lane::on_timer() {
  std::vector<Resume> late;
  {
    const std::lock_guard lock(mutex_);
    armed_ = false;
    take_late(std::chrono::steady_clock::now(), late);
    arm_timer();
  }
  for (const Resume& resume : late) resume(Turn::kDeadline);
}

}  // namespace optipod::http
