// SPDX-License-Identifier: Apache-2.0
#include "extender/metrics.hpp"

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

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Metrics::Metrics()
    : self_("extender"),
      duration_(BuildHistogram()
                    .Name("optipod_extender_request_duration_seconds")
                    .Help("From the last byte of a request read to the last byte of its reply "
                          "handed to the kernel.")
                    .Register(self_.registry())),
      requests_(counter(self_.registry(), "optipod_extender_requests_total",
                        "Requests answered, by verb and HTTP status.")),
      decode_errors_(counter(self_.registry(), "optipod_extender_decode_errors_total",
                             "Requests that could not be understood, by cause. "
                             "nodes_not_names: nodeCacheCapable is not true.")),
      candidates_(BuildHistogram()
                      .Name("optipod_extender_candidates")
                      .Help("Nodes per request.")
                      .Register(self_.registry())),
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
      refreshes_(counter(self_.registry(), "optipod_extender_refreshes_total",
                         "Fetches of the scheduling view, by result.")),
      refresh_duration_(BuildHistogram()
                            .Name("optipod_extender_refresh_duration_seconds")
                            .Help("Time to fetch and take in the scheduling view.")
                            .Register(self_.registry())
                            .Add({}, kRefreshDurations)),
      samples_(counter(self_.registry(), "optipod_extender_samples_total",
                       "Samples of the scheduling view taken in.")
                   .Add({})),
      samples_skipped_(counter(self_.registry(), "optipod_extender_samples_skipped_total",
                               "Federated samples that were not taken in, by cause.")),
      nodes_(BuildGauge()
                 .Name("optipod_extender_nodes")
                 .Help("Nodes with measurements, by the age of the oldest.")
                 .Register(self_.registry())),
      refresh_timestamp_(BuildGauge()
                             .Name("optipod_extender_refresh_timestamp_seconds")
                             .Help("When the scheduling view was last received (Unix time); 0: "
                                   "never.")
                             .Register(self_.registry())
                             .Add({})) {
  for (const char* verb : {"filter", "prioritize", "other"}) {
    duration_.Add({{"verb", verb}}, kDurations);
    requests_.Add({{"verb", verb}, {"code", "200"}});
  }
  for (const char* verb : {"filter", "prioritize"}) candidates_.Add({{"verb", verb}}, kCandidates);
  for (const char* cause :
       {"empty", "syntax", "not_extender_args", "too_deep", "too_large", "nodes_not_names"}) {
    decode_errors_.Add({{"cause", cause}});
  }
  for (const char* state : {"fresh", "stale", "missing"}) decision_nodes_.Add({{"state", state}});
  for (const char* state : {"listed", "omitted"}) hosts_.Add({{"state", state}});
  for (const char* result : {"ok", "unreachable", "status", "syntax"}) {
    refreshes_.Add({{"result", result}});
  }
  for (const char* cause : {"foreign", "no_node_label", "bad_value", "from_future"}) {
    samples_skipped_.Add({{"cause", cause}});
  }
}

void Metrics::answered(std::string_view verb, unsigned status, std::chrono::nanoseconds duration) {
  duration_.Add({{"verb", std::string(verb)}}, kDurations).Observe(seconds(duration));
  requests_.Add({{"verb", std::string(verb)}, {"code", std::to_string(status)}}).Increment();
}

void Metrics::decode_failed(std::string_view cause) {
  decode_errors_.Add({{"cause", std::string(cause)}}).Increment();
}

void Metrics::decided(std::string_view verb, const Decision& decision) {
  candidates_.Add({{"verb", std::string(verb)}}, kCandidates)
      .Observe(static_cast<double>(decision.row.size()));
  decision_nodes_.Add({{"state", "fresh"}}).Increment(static_cast<double>(decision.fresh));
  decision_nodes_.Add({{"state", "stale"}}).Increment(static_cast<double>(decision.stale));
  decision_nodes_.Add({{"state", "missing"}}).Increment(static_cast<double>(decision.missing));
  withheld_.Increment(static_cast<double>(decision.withheld));
  for (const std::string_view reason : decision.reason) {
    if (!reason.empty()) rejections_.Add({{"reason", std::string(reason)}}).Increment();
  }
}

void Metrics::passed(std::size_t candidates) {
  candidates_.Add({{"verb", "filter"}}, kCandidates).Observe(static_cast<double>(candidates));
}

void Metrics::hosts_listed(std::size_t listed, std::size_t candidates) {
  hosts_.Add({{"state", "listed"}}).Increment(static_cast<double>(listed));
  hosts_.Add({{"state", "omitted"}}).Increment(static_cast<double>(candidates - listed));
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

void Metrics::render(std::string& out, const Snapshot& snapshot, std::int64_t now_ms,
                     const DecideOptions& options) {
  double counts[3] = {};
  for (const std::int64_t oldest : snapshot.oldest_ms) {
    const double confidence = oldest == 0 ? 0 : confidence_at(now_ms - oldest, options);
    ++counts[confidence == 1 ? 0 : confidence > 0 ? 1 : 2];
  }
  nodes_.Add({{"state", "fresh"}}).Set(counts[0]);
  nodes_.Add({{"state", "stale"}}).Set(counts[1]);
  nodes_.Add({{"state", "expired"}}).Set(counts[2]);
  refresh_timestamp_.Set(static_cast<double>(snapshot.received_ms) / 1e3);
  self_.render(out);
}

}  // namespace optipod::extender
