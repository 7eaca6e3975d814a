// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

namespace optipod::http {

/// Threads for jobs that may block, and may do so for ever: stop() leaves such a thread behind, and
/// what it works on lives on until it ends. How many jobs there are is bounded by whoever gives
/// them (a Lane with as many places as there are threads). Thread-safe, but for start() and stop().
class Workers {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Workers() = default;
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// `owner` owns this object and all that jobs refer to; each thread holds it until it ends.
  void start(std::size_t threads, const std::shared_ptr<void>& owner);
  /// Never blocks. `name` must live as long as the owner.
  void run(std::string_view name, std::function<void()> job);
  /// Drops jobs that have not begun, waits for the others until `until`, and names in the log those
  /// that still run then. Returns how many. Must be called once after start().
  std::size_t stop(Time until);

 private:
  struct Job {
    std::string_view name;
    std::function<void()> work;
  };
  struct Worker {
    std::thread thread;
    std::string_view job;  ///< under mutex_; these two say what it runs
    bool busy = false;
  };
  void loop(Worker& worker);

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<Job> jobs_;  // these under mutex_
  std::size_t busy_ = 0;
  bool stopping_ = false;
  std::deque<Worker> workers_;  ///< a deque, as threads refer to its elements
};

}  // namespace optipod::http
