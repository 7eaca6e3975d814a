// SPDX-License-Identifier: Apache-2.0
//
// Asks every target once an interval, at its own moment of it, and publishes what came.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "aggregator/derive.hpp"
#include "aggregator/discovery.hpp"
#include "aggregator/parse.hpp"
#include "aggregator/scrape_moment.hpp"
#include "aggregator/scrape_requests.hpp"
#include "aggregator/self.hpp"
#include "aggregator/store.hpp"
#include "common/http/client.hpp"
#include "common/http/client_config.hpp"

namespace optipod::aggregator {

struct ScrapeOptions {
  std::chrono::milliseconds interval{1'000};  ///< unless the target has its own
  /// Of one scrape as a whole, unless the target has its own; at most the interval.
  std::chrono::milliseconds timeout{800};
  /// A target that keeps failing is asked less and less often, but at least this often; 0: always.
  std::chrono::milliseconds max_backoff{10'000};
  std::size_t max_body_bytes = 16 * 1024 * 1024;  ///< uncompressed; that many are too many
  ParseLimits limits;
  std::size_t target_limit = 0;  ///< with more targets all of them have failed; 0: any number
  bool gzip = false;             ///< ask for compressed answers
  bool extra_metrics = false;    ///< scrape_timeout_seconds and its companions
  /// Whom to trust and who we are, looked at once a second; null: plain HTTP to anybody.
  std::shared_ptr<http::ClientConfigFile> client_config;
  unsigned threads = 2;  ///< that receive, parse and derive
};

/// A target is never asked while its last scrape is under way. Everything about a target happens on
/// one thread at a time, so slow and hostile targets cost only themselves and, at most, one parse.
class Scraper {
 public:
  /// `store` and `self` outlive it.
  Scraper(ScrapeOptions options, Store& store, Self& self);
  ~Scraper();  ///< cancels what is under way and joins
  Scraper(const Scraper&) = delete;
  Scraper& operator=(const Scraper&) = delete;

  /// New targets are asked within an interval; those that are gone vanish from the store at once; a
  /// target that stays keeps its history. Node names are unique. Thread-safe.
  void set_targets(const Targets& targets);

  /// Every target of the last set_targets() has been asked and has answered or failed, once at
  /// least.
  [[nodiscard]] bool swept() const;

 private:
  class Work;
  using Clock = std::chrono::steady_clock;
  using Works = std::vector<std::shared_ptr<Work>>;
  /// Targets that are due at the same moments.
  struct Due {
    Moment moment;
    std::shared_ptr<const Works> works;
  };
  void run();
  std::vector<std::shared_ptr<const Works>> take_due(Clock::time_point now);
  void start(const Works& works);
  void start(const std::shared_ptr<Work>& work, Clock::time_point now, std::int64_t unix_ms,
             std::vector<http::Fetcher::Ask>& asks);
  void look_at_config(Clock::time_point now);

  const ScrapeOptions options_;
  ScrapeRequests requests_;  ///< the thread's only
  Store& store_;
  Self& self_;
  const std::shared_ptr<SharedPages> pages_ = std::make_shared<SharedPages>();
  const InternPool<NodePlan> plans_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::map<std::string, std::shared_ptr<Work>> works_;  // by node
  std::multimap<Clock::time_point, Due> due_;
  std::atomic<bool> too_many_ = false;  ///< targets, for target_limit
  // The thread's only:
  Clock::time_point looked_at_{};
  std::unique_ptr<http::Fetcher> fetcher_;
  std::thread thread_;
};

}  // namespace optipod::aggregator
