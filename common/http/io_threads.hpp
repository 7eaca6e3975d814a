// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace optipod::http {

/// The threads of an io_context whose handlers may keep a thread busy. One always runs. When all
/// that run have been busy at two looks, kLook apart, one of the spare ones joins them, and leaves
/// when two are not. Two threads that wait for the same sockets wake each other at every event, so
/// that one waits while the other works: for a handler of some microseconds that is the larger
/// part, and it is done on caches that have gone cold.
class IoThreads {
 public:
  IoThreads(boost::asio::io_context& io, std::size_t spare) : io_(io), spare_(spare) {}
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  void start();
  /// Stops the io_context and joins.
  void stop();

  /// Around what keeps one of these threads busy.
  void begin_work() {
    busy_.fetch_add(1);
    if (spare_ > 0 && !watching_.load()) watch();
  }
  void end_work() { busy_.fetch_sub(1); }

 private:
  static constexpr std::chrono::milliseconds kLook{10};
  static constexpr int kQuietLooks = 20;  ///< so many that find nobody busy end the watch

  void run_spare(std::size_t place);
  void watch();
  void look_out();
  void look();

  boost::asio::io_context& io_;
  const std::size_t spare_;
  std::atomic<std::size_t> busy_{0};
  std::atomic<std::size_t> joined_{0};  ///< spare threads that may run: the first so many
  std::atomic<bool> watching_{false};   ///< somebody looks every kLook
  int all_busy_ = 0, quiet_ = 0;        ///< looks in a row; the watching thread's
  std::mutex mutex_;                    ///< of what follows, and the changes of the above
  std::condition_variable wake_spare_, wake_watch_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

/// Keeps one of them busy as long as it lives.
class Working {
 public:
  explicit Working(IoThreads& threads) : threads_(threads) { threads_.begin_work(); }
  ~Working() { threads_.end_work(); }
  Working(const Working&) = delete;
  Working& operator=(const Working&) = delete;

 private:
  IoThreads& threads_;
};

}  // namespace optipod::http
