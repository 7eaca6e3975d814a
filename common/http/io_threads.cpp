// SPDX-License-Identifier: Apache-2.0
#include "common/http/io_threads.hpp"

#include <exception>

#include <spdlog/spdlog.h>

namespace optipod::http {

void IoThreads::start() {
  for (std::size_t i = 0; i < always_ + spare_; ++i) {
    threads_.emplace_back([this, spare = i >= always_] { run(spare); });
  }
}

void IoThreads::stop() {
  io_.stop();
  wake_spare();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void IoThreads::run(bool spare) {
  for (;;) {
    try {
      if (spare) {
        run_spare();
      } else {
        io_.run();
      }
      return;
    } catch (const std::exception& error) {
      spdlog::error("HTTP server: {}", error.what());
    } catch (...) {
      spdlog::error("HTTP server: unknown exception");
    }
  }
}

void IoThreads::run_spare() {
  const auto needed = [this] { return busy_.load() >= always_ || io_.stopped(); };
  while (!io_.stopped()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, needed);
    }
    while (busy_.load() >= always_ && io_.run_one() > 0) {
    }
  }
}

void IoThreads::wake_spare() {
  { const std::lock_guard lock(mutex_); }
  wake_.notify_all();
}

}  // namespace optipod::http
