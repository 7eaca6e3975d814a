// SPDX-License-Identifier: Apache-2.0
// Requests and snapshots made by hand.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/message.hpp"
#include "extender/cluster/measurements.hpp"
#include "extender/policies/policy.hpp"
#include "extender/wire/request.hpp"

namespace optipod::extender::test {

/// Text with the padding that the HTTP server puts behind a body. The padding is hostile.
class Body {
 public:
  explicit Body(std::string_view text) : bytes_(text), size_(text.size()) {
    bytes_.append(http::kBodyPadding, '"');
  }
  [[nodiscard]] std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::string bytes_;
  std::size_t size_;
};

/// {node: {signal: value}}, all measured at `at_ms`.
using Cluster = std::map<std::string, std::map<Signal, double>>;

inline std::string federate(const Cluster& cluster, std::int64_t at_ms) {
  std::string out;
  for (std::size_t s = 0; s < kSignals; ++s) {
    for (const auto& [node, values] : cluster) {
      const auto found = values.find(static_cast<Signal>(s));
      if (found == values.end()) continue;
      out += std::string(kSignalInfo[s].series) + "{node=\"" + node + "\"} " +
             std::to_string(found->second) + " " + std::to_string(at_ms) + "\n";
    }
  }
  return out;
}

inline std::shared_ptr<const Measurements> measurements(const Cluster& cluster, std::int64_t at_ms,
                                                        const Measurements& before = {}) {
  return MeasurementsReader()
      .read(federate(cluster, at_ms), before, at_ms, 30'000)
      .value()
      .measured;
}

/// Measured as told; Kubernetes knows nobody.
inline std::shared_ptr<const Snapshot> snapshot(const Cluster& cluster, std::int64_t at_ms,
                                                const Measurements& before = {}) {
  auto made = std::make_shared<Snapshot>();
  made->measured = measurements(cluster, at_ms, before);
  made->facts.resize(made->size());
  return made;
}

}  // namespace optipod::extender::test
