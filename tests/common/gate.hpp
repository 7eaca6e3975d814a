// SPDX-License-Identifier: Apache-2.0
//
// Handlers that end when a test lets them, so that a test can hold a server in a state.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace optipod::http::test {

/// Who calls pass() stands there until open(). Every wait is bounded: what never comes throws.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    ++inside_;
    most_ = inside_ > most_ ? inside_ : most_;
    changed_.notify_all();
    if (!changed_.wait_for(lock, kPatience, [this] { return open_; })) {
      throw std::runtime_error("nobody opened a gate");
    }
    --inside_;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  /// Returns when `count` have come so far.
  void await(int count) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return arrived_ >= count; })) {
      throw std::runtime_error("too few came to a gate");
    }
  }
  int arrived() {
    const std::lock_guard lock(mutex_);
    return arrived_;
  }
  int most_at_once() {
    const std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  static constexpr std::chrono::seconds kPatience{20};
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0, inside_ = 0, most_ = 0;
  bool open_ = false;
};

/// Returns when `holds()` does.
inline void await(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end)
      throw std::runtime_error("what is awaited never came");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace optipod::http::test
