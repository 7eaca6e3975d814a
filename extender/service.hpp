// SPDX-License-Identifier: Apache-2.0
//
// The webhook: routes, and what happens to one request.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/server.hpp"
#include "extender/cluster/snapshot.hpp"
#include "extender/decide/engine.hpp"
#include "extender/decide/record.hpp"
#include "extender/metrics.hpp"

namespace optipod::extender {

struct ServiceOptions {
  DecideOptions decide;
  std::size_t explain_decisions = 512;  ///< kept in memory
  std::size_t explain_candidates = 32;  ///< of each, the best
};

/// Serves decisions from `current`. Handlers run on any number of threads at once. What is passed
/// in must outlive the server's threads.
class Service {
 public:
  Service(ServiceOptions options, std::vector<std::unique_ptr<const Policy>> policies,
          std::vector<WeightedPolicy> combination, const CurrentSnapshot& current,
          Metrics& metrics);

  /// /filter, /prioritize, the same below /policies/<name>/, /explain, /metrics, /healthz, /readyz,
  /// /.
  void add_routes(http::Server& server);

 private:
  enum class Verb : std::uint8_t { kFilter, kPrioritize };
  void add_verbs(http::Server& server, const std::string& prefix,
                 const std::vector<WeightedPolicy>& combination);
  void answer(Verb verb, std::span<const WeightedPolicy> combination, const http::Request& request,
              http::Response& response);
  void refuse_nodes(Verb verb, http::Response& response);
  void complain(std::string_view verb, const std::string& what);
  [[nodiscard]] std::string details() const;

  ServiceOptions options_;
  std::vector<std::unique_ptr<const Policy>> policies_;
  std::vector<WeightedPolicy> combination_;
  std::vector<std::vector<WeightedPolicy>> alone_;  // [policy]
  const CurrentSnapshot& current_;
  Metrics& metrics_;
  Records records_;
  std::atomic<std::int64_t> next_complaint_ms_{0};
  std::atomic<std::uint64_t> unsaid_{0};
};

}  // namespace optipod::extender
