// SPDX-License-Identifier: Apache-2.0
#include "common/http/io_threads.hpp"

#include <exception>

#include <spdlog/spdlog.h>

namespace optipod::http {
namespace {

/// `work` until it returns, whatever it throws.
template <class Work>
void persist(const Work& work) {
  for (;;) {
    try {
      return work();
    } catch (const std::exception& error) {
      spdlog::error("HTTP server: {}", error.what());
    } catch (...) {
      spdlog::error("HTTP server: unknown exception");
    }
  }
}

}  // namespace

void IoThreads::start() {
  threads_.emplace_back([this] { persist([this] { io_.run(); }); });
  for (std::size_t place = 0; place < spare_; ++place) {
    threads_.emplace_back([this, place] { persist([this, place] { run_spare(place); }); });
  }
  if (spare_ > 0) threads_.emplace_back([this] { look_out(); });
}

void IoThreads::stop() {
  io_.stop();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_spare_.notify_all();
  wake_watch_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void IoThreads::run_spare(std::size_t place) {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_spare_.wait(lock, [&] { return stopping_ || place < joined_.load(); });
      if (stopping_) return;
    }
    while (place < joined_.load() && io_.run_one() > 0) {
    }
    if (io_.stopped()) return;
  }
}

/// Somebody has something to do, and nobody looks how long that takes.
void IoThreads::watch() {
  {
    const std::lock_guard lock(mutex_);
    watching_.store(true);
  }
  wake_watch_.notify_one();
}

void IoThreads::look_out() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_watch_.wait(lock, [this] { return stopping_ || watching_.load(); });
    if (!wake_watch_.wait_for(lock, kLook, [this] { return stopping_; })) look();
  }
}

void IoThreads::look() {
  const std::size_t busy = busy_.load(), joined = joined_.load();
  all_busy_ = busy > joined ? all_busy_ + 1 : 0;
  if (all_busy_ >= 2 && joined < spare_) {
    joined_.store(joined + 1);
    wake_spare_.notify_all();
  } else if (joined > 0 && busy < joined) {
    joined_.store(joined - 1);
  }
  quiet_ = busy == 0 ? quiet_ + 1 : 0;
  if (quiet_ < kQuietLooks || joined_.load() > 0) return;
  quiet_ = 0;
  watching_.store(false);  // who begins from now on sees it; who began before is seen below
  if (busy_.load() > 0) watching_.store(true);
}

}  // namespace optipod::http
