// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/source.hpp"

#include <spdlog/spdlog.h>

#include "common/http/client.hpp"
#include "extender/clock.hpp"
#include "extender/cluster/builder.hpp"
#include "extender/metrics.hpp"

namespace optipod::extender {
namespace {

std::string query_encoded(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 0xf];
    }
  }
  return out;
}

}  // namespace

MetricsSource::MetricsSource(SourceOptions options, CurrentSnapshot& current, Metrics& metrics)
    : options_(std::move(options)), current_(current), metrics_(metrics) {
  while (options_.url.ends_with('/')) options_.url.pop_back();
  federate_url_ = options_.url + "/federate?match%5B%5D=" + query_encoded(options_.match);
}

void MetricsSource::refresh() {
  const auto began = std::chrono::steady_clock::now();
  const auto took = [&] { return std::chrono::steady_clock::now() - began; };
  http::ClientOptions request;
  request.timeout = options_.timeout;
  const auto answer = http::get(federate_url_, request);
  if (!answer) {
    metrics_.refresh_failed("unreachable", took());
    enter(State::kFailing, answer.error());
    return;
  }
  if (answer->status != 200) {
    metrics_.refresh_failed("status", took());
    enter(State::kFailing, fmt::format("{}/federate answered {}: {}", options_.url, answer->status,
                                       std::string_view(answer->body).substr(0, 200)));
    return;
  }
  auto built = build_snapshot(answer->body, *current_.get(), unix_ms(), options_.keep_ms);
  if (!built) {
    metrics_.refresh_failed("syntax", took());
    enter(State::kFailing, fmt::format("{}/federate: {}", options_.url, built.error()));
    return;
  }
  current_.set(built->snapshot);
  metrics_.refreshed(*built, took());
  if (built->samples == 0) {
    enter(State::kNothing, fmt::format("{}/federate has no optipod:node_* series: do exporters and "
                                       "aggregator (or the recording rules) run?",
                                       options_.url));
  } else {
    enter(State::kOk,
          fmt::format("measurements of {} nodes from {}", built->snapshot->size(), options_.url));
  }
}

void MetricsSource::enter(State state, const std::string& message) {
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
