// SPDX-License-Identifier: Apache-2.0
//
// What the aggregator counts about itself: optipod_aggregator_*.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/discovery.hpp"
#include "aggregator/store.hpp"
#include "common/http/server.hpp"
#include "common/text/self_metrics.hpp"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
template <typename T>
class Family;
}  // namespace prometheus

namespace optipod::aggregator {

/// How a scrape ended.
enum class Outcome {
  kOk,
  kConnection,  ///< no connection, or it broke
  kTimeout,
  kStatus,  ///< not 200
  kContentType,
  kTooLarge,  ///< the body is over --max-body
  kSyntax,
  kLimit,  ///< too many samples or labels, or a label too long
};
inline constexpr std::size_t kOutcomes = 8;
std::string_view to_string(Outcome outcome);

/// Thread-safe.
class Self {
 public:
  Self();

  void scraped(Outcome outcome, std::chrono::nanoseconds duration, std::size_t samples);
  /// Samples of a good scrape left out because the page had shown their series before.
  void repeated(std::size_t samples);
  /// A scrape that was due while the one before was still under way.
  void skipped();
  /// Scrapes left out because the target keeps failing.
  void backed_off(std::size_t scrapes);
  void derived(std::chrono::nanoseconds duration);
  void served(std::string_view route, unsigned status, std::chrono::nanoseconds duration);
  void federated(std::size_t series);
  void bad_selector();
  void discovered(const Discovery& discovery);
  void pushed(std::size_t nodes);  ///< that profilers have sent something of lately
  void loaded(const http::ServerStats& stats);

  /// Appends the page, with what the views hold.
  void render(const Views& views, std::string& out);

 private:
  text::SelfMetrics metrics_;
  std::array<prometheus::Counter*, kOutcomes> scrapes_{};
  prometheus::Counter *skipped_, *backed_off_, *samples_, *repeated_, *federated_, *bad_selectors_;
  prometheus::Histogram *scrape_seconds_, *derive_seconds_;
  prometheus::Family<prometheus::Counter>*requests_, *source_refreshes_, *source_failures_,
      *turned_away_;
  prometheus::Family<prometheus::Histogram>* request_seconds_;
  prometheus::Family<prometheus::Gauge>*source_good_, *source_targets_, *source_last_success_,
      *handled_, *waiting_;
  prometheus::Gauge *targets_, *targets_up_, *nodes_up_, *targets_left_out_, *series_, *oldest_,
      *pushed_nodes_;
};

}  // namespace optipod::aggregator
