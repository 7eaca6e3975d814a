// SPDX-License-Identifier: Apache-2.0
//
// The webhook's routes, and the pages beside them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/server.hpp"
#include "extender/serve/answers.hpp"
#include "extender/serve/binder.hpp"

namespace optipod::extender {

/// What /readyz and /metrics tell of the API server.
struct KubernetesHealth {
  std::string state = "off";  ///< off, connecting, syncing, synced or failing
  std::string error;          ///< of the last failure
  std::size_t pods = 0, nodes = 0;
  std::array<bool, 2> synced{};  ///< [pods, nodes]
  std::array<std::uint64_t, 2> events{}, failures{};
};

/// What the service tells about, and who answers. Everything must outlive the server's threads.
struct ServiceParts {
  Answers& answers;
  Binder* binder = nullptr;  ///< null: no API server, so the bind verb answers with an error
  const CurrentWorld& current;
  const Ledger& ledger;
  const Workloads& workloads;
  const Records& records;
  Metrics& metrics;
  std::function<KubernetesHealth()> kubernetes;   ///< thread-safe
  std::function<std::string()> parameters_error;  ///< thread-safe; "": the file in use is good
};

class Service {
 public:
  explicit Service(ServiceParts parts) : parts_(std::move(parts)) {}

  /// POST /filter, /prioritize, /preempt, /bind, the first three also below /policies/<name>/; GET
  /// /explain, /metrics, /healthz, /readyz, /.
  void add_routes(http::Server& server);

 private:
  void add_verbs(http::Server& server, const std::string& prefix,
                 std::optional<std::size_t> policy);
  void add_explain(http::Server& server);
  void add_pages(http::Server& server);
  void answer(Verb verb, std::optional<std::size_t> policy, bool in_time,
              const http::Request& request, http::Response& response);
  void bind(bool in_time, const http::Request& request, http::Response& response);
  void complain(std::string_view verb, const std::string& what);
  [[nodiscard]] std::string details() const;
  void render_metrics(const http::Server& server, std::string& out) const;

  const ServiceParts parts_;
  std::atomic<std::int64_t> next_complaint_ms_{0};
  std::atomic<std::uint64_t> unsaid_{0};
};

}  // namespace optipod::extender
