// SPDX-License-Identifier: Apache-2.0
//
// What the extender says about itself. kube-scheduler hides an extender's failures (a prioritize
// error is a log line at level 5), so this is where they show. Thread-safe.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include "common/text/self_metrics.hpp"
#include "extender/cluster/builder.hpp"
#include "extender/decide/engine.hpp"
#include "extender/wire/request.hpp"

namespace optipod::extender {

class Metrics {
 public:
  Metrics();

  /// One answered request of any route; `verb` is filter, prioritize, or "other".
  void answered(std::string_view verb, unsigned status, std::chrono::nanoseconds duration);
  void decode_failed(std::string_view cause);
  void decided(std::string_view verb, const Decision& decision);
  /// A filter request that nothing could reject, so nothing was judged.
  void passed(std::size_t candidates);
  void hosts_listed(std::size_t listed, std::size_t candidates);

  void refreshed(const Built& built, std::chrono::nanoseconds duration);
  void refresh_failed(std::string_view cause, std::chrono::nanoseconds duration);

  /// Appends the exposition; gauges about `snapshot` are brought up to date first.
  void render(std::string& out, const Snapshot& snapshot, std::int64_t now_ms,
              const DecideOptions& options);

 private:
  text::SelfMetrics self_;
  prometheus::Family<prometheus::Histogram>& duration_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Counter>& decode_errors_;
  prometheus::Family<prometheus::Histogram>& candidates_;
  prometheus::Family<prometheus::Counter>& decision_nodes_;
  prometheus::Family<prometheus::Counter>& hosts_;
  prometheus::Family<prometheus::Counter>& rejections_;
  prometheus::Counter& withheld_;
  prometheus::Family<prometheus::Counter>& refreshes_;
  prometheus::Histogram& refresh_duration_;
  prometheus::Counter& samples_;
  prometheus::Family<prometheus::Counter>& samples_skipped_;
  prometheus::Family<prometheus::Gauge>& nodes_;
  prometheus::Gauge& refresh_timestamp_;
};

}  // namespace optipod::extender
