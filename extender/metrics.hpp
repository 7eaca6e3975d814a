// SPDX-License-Identifier: Apache-2.0
//
// What the extender says about itself. kube-scheduler hides an extender's failures (a prioritize
// error is a log line at level 5), so this is where they show. Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <mutex>
#include <string>
#include <string_view>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include "common/text/self_metrics.hpp"
#include "extender/cluster/measurements.hpp"
#include "extender/decide/engine.hpp"
#include "extender/verb.hpp"
#include "extender/wire/request.hpp"

namespace optipod::extender {

class Metrics {
 public:
  Metrics();

  /// One answered request of any route; `verb` is one of kVerbNames, or "other".
  void answered(std::string_view verb, unsigned status, std::chrono::nanoseconds duration);
  void decode_failed(std::string_view cause);
  void decided(Verb verb, const Decision& decision);
  /// A filter request that nothing could reject, so nothing was judged.
  void passed(std::size_t candidates);
  void hosts_listed(std::size_t listed, std::size_t candidates);
  void annotation_problems(std::size_t count);
  /// `result` is what Binder says: bound, already_bound, conflict, not_found, failed.
  void bind_ended(std::string_view result);
  void victims_dropped(std::size_t nodes);

  void refreshed(const Built& built, std::chrono::nanoseconds duration);
  /// `cause` is unreachable, status or syntax.
  void refresh_failed(std::string_view cause, std::chrono::nanoseconds duration);
  void profiles_refreshed(bool ok);
  void parameters_loaded(bool ok);

  /// What is counted elsewhere, and read when the page is asked for.
  struct Now {
    std::int64_t unix_ms = 0;
    std::size_t booked_pods = 0, workloads = 0;
    std::uint64_t bookings_refused = 0;
    bool kubernetes = false;  ///< the API server is followed at all
    std::size_t kubernetes_nodes = 0, kubernetes_pods = 0;
    /// [pods, nodes]: reflector's state is "synced"; events and failures so far.
    std::array<bool, 2> synced{};
    std::array<std::uint64_t, 2> events{}, failures{};
    std::uint64_t overload_queue_full = 0, overload_deadline = 0;
    std::size_t queued = 0;
  };
  /// Appends the exposition; gauges about `snapshot` are brought up to date first.
  void render(std::string& out, const Snapshot& snapshot, const DecideOptions& options,
              const Now& now);

 private:
  using Counter = prometheus::Counter;
  template <class T>
  using Family = prometheus::Family<T>;

  void render_kubernetes(const Now& now);

  std::mutex rendering_;
  text::SelfMetrics self_;
  Family<prometheus::Histogram>& duration_;
  Family<Counter>& requests_;
  Family<Counter>& decode_errors_;
  Family<prometheus::Histogram>& candidates_;
  Family<Counter>& decision_nodes_;
  Family<Counter>& hosts_;
  Family<Counter>& rejections_;
  Counter& withheld_;
  Counter& yielded_;
  Counter& left_out_;
  Counter& annotation_problems_;
  Family<Counter>& binds_;
  Counter& victims_dropped_;
  Family<Counter>& refreshes_;
  prometheus::Histogram& refresh_duration_;
  Counter& samples_;
  Family<Counter>& samples_skipped_;
  Family<Counter>& profile_refreshes_;
  Family<Counter>& parameter_loads_;
  Family<prometheus::Gauge>& nodes_;
  prometheus::Gauge& refresh_timestamp_;
  prometheus::Gauge& booked_pods_;
  prometheus::Gauge& workloads_;
  Counter& bookings_refused_;
  Family<Counter>& overload_;
  prometheus::Gauge& queued_;
  Family<prometheus::Gauge>& kubernetes_objects_;
  Family<prometheus::Gauge>& kubernetes_synced_;
  Family<Counter>& kubernetes_events_;
  Family<Counter>& kubernetes_failures_;

  // Looking a label up costs more than the rest of a request's accounting: once each.
  std::array<prometheus::Histogram*, 5> verb_duration_{};  // [Verb], other
  std::array<Counter*, 5> verb_ok_{};
  std::array<prometheus::Histogram*, 4> verb_candidates_{};
  std::array<Counter*, 3> node_state_{};
  std::array<Counter*, 2> host_state_{};
};

}  // namespace optipod::extender
