// SPDX-License-Identifier: Apache-2.0
#include "common/http/workers.hpp"

#include <exception>
#include <utility>

#include <spdlog/spdlog.h>

namespace optipod::http {

void Workers::start(std::size_t threads, const std::shared_ptr<void>& owner) {
  for (std::size_t i = 0; i < threads; ++i) {
    Worker& worker = workers_.emplace_back();
    worker.thread = std::thread([this, &worker, owner] { loop(worker); });
  }
}

void Workers::run(std::string_view name, std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({name, std::move(job)});
  }
  wake_.notify_one();
}

void Workers::loop(Worker& worker) {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    worker.job = job.name;
    worker.busy = true;
    ++busy_;
    lock.unlock();
    try {
      job.work();
    } catch (const std::exception& error) {
      spdlog::error("HTTP server, {}: {}", job.name, error.what());
    } catch (...) {
      spdlog::error("HTTP server, {}: unknown exception", job.name);
    }
    job.work = nullptr;  // while it counts as busy: its end may do something too
    lock.lock();
    worker.busy = false;
    if (--busy_ == 0) idle_.notify_all();
  }
}

std::size_t Workers::stop(Time until) {
  std::deque<Job> dropped;
  std::size_t left = 0;
  std::unique_lock lock(mutex_);
  stopping_ = true;
  dropped.swap(jobs_);
  wake_.notify_all();
  idle_.wait_until(lock, until, [this] { return busy_ == 0; });
  for (Worker& worker : workers_) {
    if (!worker.busy) continue;
    spdlog::error("HTTP server: the handler of {} does not end; its thread is left behind",
                  worker.job);
    worker.thread.detach();
    ++left;
  }
  lock.unlock();
  for (Worker& worker : workers_) {
    if (worker.thread.joinable()) worker.thread.join();
  }
  return left;
}

}  // namespace optipod::http
