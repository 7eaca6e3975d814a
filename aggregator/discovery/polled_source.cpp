// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery/polled_source.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <random>
#include <utility>

#include "common/kube/backoff.hpp"

namespace optipod::aggregator {

using std::chrono::milliseconds;

PolledSource::PolledSource(std::string mechanism, std::string name, milliseconds interval,
                           Fetch fetch)
    : Source(std::move(mechanism), std::move(name)),
      interval_(interval),
      fetch_(std::move(fetch)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

bool PolledSource::refresh(std::chrono::steady_clock::time_point) {
  std::vector<Ended> news;
  {
    const std::lock_guard lock(mutex_);
    news.swap(ended_);
  }
  for (Ended& attempt : news) ended(std::move(attempt.list), attempt.at);
  return !news.empty();
}

TargetList PolledSource::attempt(const std::stop_token& stop) const {
  try {
    return fetch_(stop);
  } catch (const std::exception& error) {
    return tl::unexpected(std::string(error.what()));
  }
}

void PolledSource::run(const std::stop_token& stop) {
  constexpr milliseconds kFirstRetry{1'000};
  kube::Backoff backoff(std::min(kFirstRetry, interval_), interval_);
  std::minstd_rand random{std::random_device{}()};
  std::uniform_int_distribution<milliseconds::rep> spread(interval_.count() * 9 / 10,
                                                          interval_.count() * 11 / 10);
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    TargetList list = attempt(stop);
    if (stop.stop_requested()) return;
    const bool good = list.has_value();
    if (good) backoff.reset();
    {
      const std::lock_guard lock(mutex_);
      ended_.push_back({std::move(list), unix_seconds()});
      // Nobody takes them: the last is what counts.
      if (ended_.size() > 100) ended_.erase(ended_.begin());
    }
    const milliseconds pause = good ? milliseconds(spread(random)) : backoff.next(random);
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, pause, [] { return false; });
  }
}

}  // namespace optipod::aggregator
