// SPDX-License-Identifier: Apache-2.0
#include "extender/feeds/measurements.hpp"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include "extender/clock.hpp"

namespace optipod::extender {

std::string measurements_match() {
  constexpr std::string_view kPrefix = "optipod:node_";
  std::string names;
  for (const SignalInfo& signal : kSignalInfo) {
    names.append(names.empty() ? "" : "|").append(signal.series.substr(kPrefix.size()));
  }
  return fmt::format(R"match({{__name__=~"{}({})"}})match", kPrefix, names);
}

MeasurementsFeed::MeasurementsFeed(SourceOptions options, Publisher& publisher, Metrics& metrics)
    : url_(options.url.substr(0, options.url.find_last_not_of('/') + 1)),
      publisher_(publisher),
      metrics_(metrics),
      source_(std::move(options), [this](const Fetched& fetched, std::chrono::nanoseconds took) {
        take(fetched, took);
      }) {}

void MeasurementsFeed::take(const Fetched& fetched, std::chrono::nanoseconds took) {
  if (fetched.result != Fetched::Result::kOk) {
    const bool status = fetched.result == Fetched::Result::kStatus;
    metrics_.refresh_failed(status ? "status" : "unreachable", took);
    enter(State::kFailing, std::string(fetched.text));
    return;
  }
  const auto built = publisher_.take(fetched.text, unix_ms());
  if (!built) {
    metrics_.refresh_failed("syntax", took);
    enter(State::kFailing, fmt::format("{}/federate: {}", url_, built.error()));
    return;
  }
  metrics_.refreshed(*built, took);
  if (built->samples == 0) {
    enter(State::kNothing, fmt::format("{}/federate has no optipod:node_* series: do exporters and "
                                       "aggregator (or the recording rules) run?",
                                       url_));
  } else {
    enter(State::kOk,
          fmt::format("measurements of {} nodes from {}", built->measured->size(), url_));
  }
}

void MeasurementsFeed::enter(State state, const std::string& message) {
  if (state == state_) return;
  state_ = state;
  if (state == State::kOk) {
    spdlog::info("{}", message);
  } else {
    spdlog::warn("no new measurements: {}; decisions go on with what is known, at its age",
                 message);
  }
}

}  // namespace optipod::extender
