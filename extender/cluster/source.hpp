// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "extender/cluster/snapshot.hpp"

namespace optipod::extender {

class Metrics;

struct SourceOptions {
  /// An aggregator or any Prometheus, http://host:port[/prefix]; /federate is appended.
  std::string url = "http://127.0.0.1:5000";
  std::string match = R"({__name__=~"optipod:node_.*"})";
  std::chrono::milliseconds timeout{2'000};
  std::int64_t keep_ms = 30'000;  ///< how long a node that is not told any more keeps its values
};

/// Fetches the scheduling view and publishes the next snapshot. refresh() is for one thread; what
/// it publishes is for all. A failure publishes nothing: the measurements grow old instead.
class MetricsSource {
 public:
  MetricsSource(SourceOptions options, CurrentSnapshot& current, Metrics& metrics);

  /// One fetch; blocks up to the timeout. The log has a line when the state changes, not each time.
  void refresh();

 private:
  enum class State : std::uint8_t { kUnknown, kOk, kNothing, kFailing };
  void enter(State state, const std::string& message);

  SourceOptions options_;
  std::string federate_url_;
  CurrentSnapshot& current_;
  Metrics& metrics_;
  State state_ = State::kUnknown;
};

}  // namespace optipod::extender
