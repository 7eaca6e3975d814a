// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace optipod::http {

/// The threads of an io_context whose handlers may keep a thread busy. Some always run; the spare
/// ones join them only while those are all busy, because each thread that runs takes turns with the
/// others, on caches that have gone cold. As long as fewer than always + spare are busy, one reads.
class IoThreads {
 public:
  IoThreads(boost::asio::io_context& io, std::size_t always, std::size_t spare)
      : io_(io), always_(always), spare_(spare) {}
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  void start();
  /// Stops the io_context and joins.
  void stop();

  /// Around what keeps one of these threads busy.
  void begin_work() {
    if (busy_.fetch_add(1) + 1 == always_ && spare_ > 0) wake_spare();
  }
  void end_work() { busy_.fetch_sub(1); }

 private:
  void run(bool spare);
  void run_spare();
  void wake_spare();

  boost::asio::io_context& io_;
  const std::size_t always_, spare_;
  std::atomic<std::size_t> busy_{0};
  std::mutex mutex_;  ///< orders a rise of busy_ or a stop before the wait of a spare thread
  std::condition_variable wake_;
  std::vector<std::thread> threads_;
};

}  // namespace optipod::http
