// SPDX-License-Identifier: Apache-2.0
#include "extender/metrics.hpp"

#include <algorithm>
#include <cmath>

namespace optipod::extender {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using Buckets = prometheus::Histogram::BucketBoundaries;

const Buckets kDurations{10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3,   2e-3,
                         5e-3,  10e-3, 20e-3, 50e-3,  100e-3, 200e-3, 500e-3, 1};
const Buckets kRefreshDurations{1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5, 1, 2, 5};
const Buckets kCandidates{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000};

prometheus::Family<prometheus::Counter>& counter(prometheus::Registry& registry, const char* name,
                                                 const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Gauge>& gauge(prometheus::Registry& registry, const char* name,
                                             const char* help) {
  return BuildGauge().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Histogram>& histogram(prometheus::Registry& registry,
                                                     const char* name, const char* help) {
  return BuildHistogram().Name(name).Help(help).Register(registry);
}

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Brings a counter up to a count that is kept elsewhere.
void catch_up(prometheus::Counter& counter, std::uint64_t count) {
  const double more = static_cast<double>(count) - counter.Value();
  if (more > 0) counter.Increment(more);
}

constexpr std::size_t kOther = kVerbNames.size();

std::size_t slot(std::string_view verb) {
  return static_cast<std::size_t>(std::ranges::find(kVerbNames, verb) - kVerbNames.begin());
}

}  // namespace

Metrics::Metrics()
    : self_("extender"),
      duration_(histogram(self_.registry(), "optipod_extender_request_duration_seconds",
                          "From the last byte of a request read to the last byte of its reply "
                          "handed to the kernel.")),
      requests_(counter(self_.registry(), "optipod_extender_requests_total",
                        "Requests answered, by verb and HTTP status.")),
      decode_errors_(counter(self_.registry(), "optipod_extender_decode_errors_total",
                             "Requests that could not be understood, by cause. "
                             "nodes_not_names: nodeCacheCapable is not true.")),
      candidates_(histogram(self_.registry(), "optipod_extender_candidates", "Nodes per request.")),
      decision_nodes_(counter(self_.registry(), "optipod_extender_decision_nodes_total",
                              "Candidates judged, by what was known of them: fresh, stale (less "
                              "than full confidence) or missing (expired or never heard of).")),
      hosts_(counter(self_.registry(), "optipod_extender_hosts_total",
                     "Candidates of prioritize requests: listed in the reply, or omitted because "
                     "they score 0.")),
      rejections_(counter(self_.registry(), "optipod_extender_rejections_total",
                          "Nodes rejected by /filter, by reason.")),
      withheld_(counter(self_.registry(), "optipod_extender_rejections_withheld_total",
                        "Nodes not rejected because of --max-reject-share.")
                    .Add({})),
      yielded_(counter(self_.registry(), "optipod_extender_yielded_total",
                       "Candidates put behind their equals because more pods are on their way to "
                       "them.")
                   .Add({})),
      left_out_(counter(self_.registry(), "optipod_extender_left_out_total",
                        "Candidates of filter requests that were neither rejected nor among the "
                        "best (--shortlist).")
                    .Add({})),
      annotation_problems_(counter(self_.registry(), "optipod_extender_annotation_problems_total",
                                   "Annotations optipod.dev/* of pods that could not be taken; "
                                   "/explain names them.")
                               .Add({})),
      binds_(counter(self_.registry(), "optipod_extender_binds_total",
                     "Bind requests, by what became of them.")),
      victims_dropped_(counter(self_.registry(), "optipod_extender_preemption_nodes_dropped_total",
                               "Candidates of preempt requests left out of the reply: without "
                               "victims, or rejected by a policy.")
                           .Add({})),
      refreshes_(counter(self_.registry(), "optipod_extender_refreshes_total",
                         "Fetches of the scheduling view, by result.")),
      refresh_duration_(histogram(self_.registry(), "optipod_extender_refresh_duration_seconds",
                                  "Time to fetch and take in the scheduling view.")
                            .Add({}, kRefreshDurations)),
      samples_(counter(self_.registry(), "optipod_extender_samples_total",
                       "Samples of the scheduling view taken in.")
                   .Add({})),
      samples_skipped_(counter(self_.registry(), "optipod_extender_samples_skipped_total",
                               "Federated samples that were not taken in, by cause.")),
      profile_refreshes_(counter(self_.registry(), "optipod_extender_profile_refreshes_total",
                                 "Fetches of what pods use, by result.")),
      parameter_loads_(counter(self_.registry(), "optipod_extender_policy_loads_total",
                               "Times the file of --policies was read, by result; after an error "
                               "the parameters before it stay in use.")),
      nodes_(gauge(self_.registry(), "optipod_extender_nodes",
                   "Nodes by the age of their oldest measurement: fresh, stale (less than full "
                   "confidence) or missing (Kubernetes has them, but nothing young is measured).")),
      refresh_timestamp_(gauge(self_.registry(), "optipod_extender_refresh_timestamp_seconds",
                               "When the scheduling view was last received (Unix time); 0: never.")
                             .Add({})),
      booked_pods_(gauge(self_.registry(), "optipod_extender_booked_pods",
                         "Pods on their way to a node, not yet in its measurements.")
                       .Add({})),
      workloads_(gauge(self_.registry(), "optipod_extender_workloads",
                       "Workloads whose pods' usage has been learned.")
                     .Add({})),
      bookings_refused_(counter(self_.registry(), "optipod_extender_bookings_refused_total",
                                "Pods not booked because too many are.")
                            .Add({})),
      overload_(counter(self_.registry(), "optipod_extender_overload_answers_total",
                        "Requests answered neutrally, unjudged, by cause: queue_full, or "
                        "deadline, when it had waited longer than --deadline.")),
      queued_(gauge(self_.registry(), "optipod_extender_queued_requests",
                    "Requests that wait for a thread.")
                  .Add({})),
      kubernetes_objects_(gauge(self_.registry(), "optipod_extender_kubernetes_objects",
                                "Nodes and bound pods that the API server has told of.")),
      kubernetes_synced_(gauge(self_.registry(), "optipod_extender_kubernetes_synced",
                               "1 while a resource has been listed and is followed.")),
      kubernetes_events_(counter(self_.registry(), "optipod_extender_kubernetes_events_total",
                                 "Changes received from the API server.")),
      kubernetes_failures_(counter(self_.registry(), "optipod_extender_kubernetes_failures_total",
                                   "Lists and watches that failed.")) {
  for (std::size_t v = 0; v <= kOther; ++v) {
    const std::string verb(v == kOther ? "other" : kVerbNames[v]);
    verb_duration_[v] = &duration_.Add({{"verb", verb}}, kDurations);
    verb_ok_[v] = &requests_.Add({{"verb", verb}, {"code", "200"}});
    if (v != kOther) verb_candidates_[v] = &candidates_.Add({{"verb", verb}}, kCandidates);
  }
  const auto each = [](Family<Counter>& family, const char* label,
                       std::initializer_list<const char*> values) {
    for (const char* value : values) family.Add({{label, value}});
  };
  each(decode_errors_, "cause",
       {"empty", "syntax", "not_extender_args", "too_deep", "too_large", "nodes_not_names"});
  each(refreshes_, "result", {"ok", "unreachable", "status", "syntax"});
  each(samples_skipped_, "cause", {"foreign", "no_node_label", "bad_value", "from_future"});
  each(binds_, "result", {"bound", "already_bound", "conflict", "not_found", "failed"});
  each(profile_refreshes_, "result", {"ok", "error"});
  each(parameter_loads_, "result", {"ok", "error"});
  each(overload_, "cause", {"queue_full", "deadline"});
  constexpr std::array kStates{"fresh", "stale", "missing"};
  for (std::size_t s = 0; s < kStates.size(); ++s) {
    node_state_[s] = &decision_nodes_.Add({{"state", kStates[s]}});
  }
  host_state_ = {&hosts_.Add({{"state", "listed"}}), &hosts_.Add({{"state", "omitted"}})};
}

void Metrics::answered(std::string_view verb, unsigned status, std::chrono::nanoseconds duration) {
  const std::size_t v = slot(verb);
  verb_duration_[v]->Observe(seconds(duration));
  if (status == 200) {
    verb_ok_[v]->Increment();
  } else {
    requests_
        .Add(
            {{"verb", std::string(v == kOther ? "other" : verb)}, {"code", std::to_string(status)}})
        .Increment();
  }
}

void Metrics::decode_failed(std::string_view cause) {
  decode_errors_.Add({{"cause", std::string(cause)}}).Increment();
}

void Metrics::decided(Verb verb, const Decision& decision) {
  verb_candidates_[static_cast<std::size_t>(verb)]->Observe(
      static_cast<double>(decision.row.size()));
  node_state_[0]->Increment(static_cast<double>(decision.fresh));
  node_state_[1]->Increment(static_cast<double>(decision.stale));
  node_state_[2]->Increment(static_cast<double>(decision.missing));
  withheld_.Increment(static_cast<double>(decision.withheld));
  yielded_.Increment(static_cast<double>(decision.yielded));
  left_out_.Increment(static_cast<double>(std::ranges::count(decision.left_out, 1)));
  for (const std::string_view reason : decision.reason) {
    if (!reason.empty()) rejections_.Add({{"reason", std::string(reason)}}).Increment();
  }
}

void Metrics::passed(std::size_t candidates) {
  verb_candidates_[static_cast<std::size_t>(Verb::kFilter)]->Observe(
      static_cast<double>(candidates));
}

void Metrics::hosts_listed(std::size_t listed, std::size_t candidates) {
  host_state_[0]->Increment(static_cast<double>(listed));
  host_state_[1]->Increment(static_cast<double>(candidates - listed));
}

void Metrics::annotation_problems(std::size_t count) {
  annotation_problems_.Increment(static_cast<double>(count));
}

void Metrics::bind_ended(std::string_view result) {
  binds_.Add({{"result", std::string(result)}}).Increment();
}

void Metrics::victims_dropped(std::size_t nodes) {
  victims_dropped_.Increment(static_cast<double>(nodes));
}

void Metrics::refreshed(const Built& built, std::chrono::nanoseconds duration) {
  refreshes_.Add({{"result", "ok"}}).Increment();
  refresh_duration_.Observe(seconds(duration));
  samples_.Increment(static_cast<double>(built.samples));
  const auto skipped = [this](const char* cause, std::size_t count) {
    samples_skipped_.Add({{"cause", cause}}).Increment(static_cast<double>(count));
  };
  skipped("foreign", built.foreign);
  skipped("no_node_label", built.nameless);
  skipped("bad_value", built.bad_value);
  skipped("from_future", built.from_future);
}

void Metrics::refresh_failed(std::string_view cause, std::chrono::nanoseconds duration) {
  refreshes_.Add({{"result", std::string(cause)}}).Increment();
  refresh_duration_.Observe(seconds(duration));
}

void Metrics::profiles_refreshed(bool ok) {
  profile_refreshes_.Add({{"result", ok ? "ok" : "error"}}).Increment();
}

void Metrics::parameters_loaded(bool ok) {
  parameter_loads_.Add({{"result", ok ? "ok" : "error"}}).Increment();
}

void Metrics::render_kubernetes(const Now& now) {
  constexpr std::array kResources{"pods", "nodes"};
  const std::array counts{now.kubernetes_pods, now.kubernetes_nodes};
  for (std::size_t r = 0; r < kResources.size(); ++r) {
    const prometheus::Labels labels{{"resource", kResources[r]}};
    kubernetes_objects_.Add(labels).Set(static_cast<double>(counts[r]));
    kubernetes_synced_.Add(labels).Set(now.synced[r] ? 1 : 0);
    catch_up(kubernetes_events_.Add(labels), now.events[r]);
    catch_up(kubernetes_failures_.Add(labels), now.failures[r]);
  }
}

void Metrics::render(std::string& out, const Snapshot& snapshot, const DecideOptions& options,
                     const Now& now) {
  const std::lock_guard lock(rendering_);
  double counts[3] = {};
  for (const std::int64_t oldest : snapshot.measured->oldest_ms) {
    const double confidence = oldest == 0 ? 0 : confidence_at(now.unix_ms - oldest, options);
    ++counts[confidence == 1 ? 0 : confidence > 0 ? 1 : 2];
  }
  nodes_.Add({{"state", "fresh"}}).Set(counts[0]);
  nodes_.Add({{"state", "stale"}}).Set(counts[1]);
  nodes_.Add({{"state", "missing"}}).Set(counts[2]);
  refresh_timestamp_.Set(static_cast<double>(snapshot.measured->received_ms) / 1e3);
  booked_pods_.Set(static_cast<double>(now.booked_pods));
  workloads_.Set(static_cast<double>(now.workloads));
  catch_up(bookings_refused_, now.bookings_refused);
  catch_up(overload_.Add({{"cause", "queue_full"}}), now.overload_queue_full);
  catch_up(overload_.Add({{"cause", "deadline"}}), now.overload_deadline);
  queued_.Set(static_cast<double>(now.queued));
  if (now.kubernetes) render_kubernetes(now);
  self_.render(out);
}

}  // namespace optipod::extender
