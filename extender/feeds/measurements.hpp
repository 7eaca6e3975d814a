// SPDX-License-Identifier: Apache-2.0
//
// The scheduling view, fetched and published.
#pragma once

#include <memory>
#include <string>

#include "extender/decide/publisher.hpp"
#include "extender/feeds/source.hpp"
#include "extender/metrics.hpp"

namespace optipod::extender {

/// Selects every series of kSignalInfo, and no other of the scheduling view.
std::string measurements_match();

/// Fetches as long as it lives. A failure publishes nothing: the measurements grow old instead. The
/// log has a line when that changes, not each time.
class MeasurementsFeed {
 public:
  /// `publisher` and `metrics` must outlive it.
  MeasurementsFeed(SourceOptions options, Publisher& publisher, Metrics& metrics);

 private:
  enum class State : std::uint8_t { kUnknown, kOk, kNothing, kFailing };
  void take(const Fetched& fetched, std::chrono::nanoseconds took);
  void enter(State state, const std::string& message);

  const std::string url_;
  Publisher& publisher_;
  Metrics& metrics_;
  State state_ = State::kUnknown;
  Source source_;  // last: its thread uses the rest
};

}  // namespace optipod::extender
