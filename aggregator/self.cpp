// SPDX-License-Identifier: Apache-2.0
#include "aggregator/self.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

namespace optipod::aggregator {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;
const Buckets& scrape_buckets() {
  static const Buckets kBuckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                0.25,  0.5,    1,     2.5,  5,     10};
  return kBuckets;
}
const Buckets& short_buckets() {
  static const Buckets kBuckets{1e-6,  4e-6,  16e-6, 64e-6, 256e-6, 0.001,
                                0.004, 0.016, 0.064, 0.256, 1};
  return kBuckets;
}

prometheus::Family<prometheus::Counter>& counter(text::SelfMetrics& metrics, const char* name,
                                                 const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(metrics.registry());
}
prometheus::Family<prometheus::Gauge>& gauge(text::SelfMetrics& metrics, const char* name,
                                             const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(metrics.registry());
}
prometheus::Family<prometheus::Histogram>& histogram(text::SelfMetrics& metrics, const char* name,
                                                     const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(metrics.registry());
}

/// A counter that somebody else counts.
void follow(prometheus::Counter& counter, std::uint64_t value) {
  counter.Increment(static_cast<double>(value) - counter.Value());
}

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kConnection:
      return "connection";
    case Outcome::kTimeout:
      return "timeout";
    case Outcome::kStatus:
      return "status";
    case Outcome::kContentType:
      return "content_type";
    case Outcome::kTooLarge:
      return "too_large";
    case Outcome::kSyntax:
      return "syntax";
    case Outcome::kLimit:
      return "limit";
  }
  return "unknown";
}

Self::Self() : metrics_("aggregator") {
  auto& scrapes = counter(metrics_, "optipod_aggregator_scrapes_total",
                          "Scrapes of targets, by how they ended.");
  for (std::size_t i = 0; i < kOutcomes; ++i) {
    scrapes_[i] = &scrapes.Add({{"result", std::string(to_string(static_cast<Outcome>(i)))}});
  }
  skipped_ = &counter(metrics_, "optipod_aggregator_scrapes_skipped_total",
                      "Scrapes left out because the target had not answered the one before.")
                  .Add({});
  backed_off_ = &counter(metrics_, "optipod_aggregator_scrapes_backed_off_total",
                         "Scrapes left out because the target keeps failing.")
                     .Add({});
  samples_ =
      &counter(metrics_, "optipod_aggregator_samples_total", "Samples of good scrapes.").Add({});
  repeated_ = &counter(metrics_, "optipod_aggregator_samples_repeated_total",
                       "Samples of good scrapes left out because the page had shown the same "
                       "series before, with the same time or without one.")
                   .Add({});
  federated_ = &counter(metrics_, "optipod_aggregator_federated_series_total",
                        "Series written to /federate.")
                    .Add({});
  bad_selectors_ = &counter(metrics_, "optipod_aggregator_federation_errors_total",
                            "Requests to /federate with a match[] that is no selector.")
                        .Add({});
  scrape_seconds_ =
      &histogram(metrics_, "optipod_aggregator_scrape_duration_seconds",
                 "Time from asking a target to its series being served, or to its failure.")
           .Add({}, scrape_buckets());
  derive_seconds_ = &histogram(metrics_, "optipod_aggregator_derive_duration_seconds",
                               "Time to compute one node's scheduling view.")
                         .Add({}, short_buckets());
  requests_ = &counter(metrics_, "optipod_aggregator_http_requests_total",
                       "Requests answered, by route and status.");
  request_seconds_ = &histogram(metrics_, "optipod_aggregator_http_request_duration_seconds",
                                "Time from the request read to the reply written, by route.");
  handled_ = &gauge(metrics_, "optipod_aggregator_http_requests_active",
                    "Requests that a handler works on, by the threads that it has.");
  waiting_ = &gauge(metrics_, "optipod_aggregator_http_requests_queued",
                    "Requests that wait for such a thread.");
  turned_away_ = &counter(metrics_, "optipod_aggregator_http_requests_turned_away_total",
                          "Requests that no handler saw: the queue was full, or they had waited "
                          "until its deadline.");
  source_refreshes_ = &counter(metrics_, "optipod_aggregator_discovery_refreshes_total",
                               "Lists of targets asked for, or changes of them heard, by source.");
  source_failures_ =
      &counter(metrics_, "optipod_aggregator_discovery_failures_total",
               "Attempts of these that gave no list: the last good one stayed in use.");
  source_good_ =
      &gauge(metrics_, "optipod_aggregator_discovery_good",
             "1 when the last attempt at the source succeeded; else its last good list is in use.");
  source_targets_ =
      &gauge(metrics_, "optipod_aggregator_discovery_targets", "Targets of the list in use.");
  source_last_success_ =
      &gauge(metrics_, "optipod_aggregator_discovery_last_success_timestamp_seconds",
             "When the source last gave a list or a change (Unix time); 0: never.");
  targets_ = &gauge(metrics_, "optipod_aggregator_targets", "Targets that are scraped.").Add({});
  targets_up_ =
      &gauge(metrics_, "optipod_aggregator_targets_up", "Targets whose last scrape was good.")
           .Add({});
  nodes_up_ = &gauge(metrics_, "optipod_aggregator_nodes_up",
                     "Targets whose last scrape was good and whose agent is alive.")
                   .Add({});
  targets_left_out_ = &gauge(metrics_, "optipod_aggregator_targets_left_out",
                             "Targets not scraped because their node's name is taken.")
                           .Add({});
  series_ = &gauge(metrics_, "optipod_aggregator_series", "Series held.").Add({});
  oldest_ =
      &gauge(metrics_, "optipod_aggregator_scrape_timestamp_min_seconds",
             "Start of the last finished scrape of the target that waits longest (Unix time).")
           .Add({});
  pushed_nodes_ = &gauge(metrics_, "optipod_aggregator_pushed_nodes",
                         "Nodes whose profiler has pushed something in the last 5 minutes.")
                       .Add({});
}

void Self::scraped(Outcome outcome, std::chrono::nanoseconds duration, std::size_t samples) {
  scrapes_[static_cast<std::size_t>(outcome)]->Increment();
  scrape_seconds_->Observe(seconds(duration));
  samples_->Increment(static_cast<double>(samples));
}

void Self::repeated(std::size_t samples) {
  repeated_->Increment(static_cast<double>(samples));
}
void Self::skipped() {
  skipped_->Increment();
}
void Self::backed_off(std::size_t scrapes) {
  backed_off_->Increment(static_cast<double>(scrapes));
}
void Self::derived(std::chrono::nanoseconds duration) {
  derive_seconds_->Observe(seconds(duration));
}
void Self::federated(std::size_t series) {
  federated_->Increment(static_cast<double>(series));
}
void Self::bad_selector() {
  bad_selectors_->Increment();
}

void Self::served(std::string_view route, unsigned status, std::chrono::nanoseconds duration) {
  const std::string name(route.empty() ? "other" : route);
  requests_->Add({{"route", name}, {"status", std::to_string(status)}}).Increment();
  request_seconds_->Add({{"route", name}}, scrape_buckets()).Observe(seconds(duration));
}

void Self::discovered(const Discovery& discovery) {
  targets_->Set(static_cast<double>(discovery.targets().size()));
  targets_left_out_->Set(static_cast<double>(discovery.left_out()));
  for (const SourceState& state : discovery.states()) {
    const prometheus::Labels labels{{"mechanism", state.mechanism}, {"source", state.name}};
    follow(source_refreshes_->Add(labels), state.refreshes);
    follow(source_failures_->Add(labels), state.failures);
    source_good_->Add(labels).Set(state.good ? 1 : 0);
    source_targets_->Add(labels).Set(static_cast<double>(state.targets));
    source_last_success_->Add(labels).Set(state.last_success);
  }
}

void Self::pushed(std::size_t nodes) {
  pushed_nodes_->Set(static_cast<double>(nodes));
}

void Self::loaded(const http::ServerStats& stats) {
  handled_->Add({{"pool", "normal"}}).Set(static_cast<double>(stats.active));
  handled_->Add({{"pool", "slow"}}).Set(static_cast<double>(stats.slow_active));
  waiting_->Add({{"pool", "normal"}}).Set(static_cast<double>(stats.queued));
  waiting_->Add({{"pool", "slow"}}).Set(static_cast<double>(stats.slow_queued));
  for (const http::ServerStats::TurnedAway& route : stats.turned_away) {
    const auto count = [&](const char* cause, std::uint64_t value) {
      follow(turned_away_->Add({{"route", route.route}, {"cause", cause}}), value);
    };
    count("queue_full", route.queue_full);
    count("deadline", route.deadline);
  }
}

void Self::render(const Views& views, std::string& out) {
  std::size_t up = 0, agents = 0, series = 0;
  std::int64_t oldest = 0;
  for (const auto& view : views) {
    up += view->up ? 1 : 0;
    agents += view->agent_up ? 1 : 0;
    for (const SeriesSet* set : {&view->scraped, &view->report, &view->derived, &view->pods}) {
      series += set->size();
    }
    if (oldest == 0 || view->scraped_ms < oldest) oldest = view->scraped_ms;
  }
  targets_up_->Set(static_cast<double>(up));
  nodes_up_->Set(static_cast<double>(agents));
  series_->Set(static_cast<double>(series));
  oldest_->Set(static_cast<double>(oldest) / 1e3);
  metrics_.render(out);
}

}  // namespace optipod::aggregator
