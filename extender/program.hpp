// SPDX-License-Identifier: Apache-2.0
//
// The extender's parts, put together: what main() runs.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "common/app/app.hpp"
#include "common/http/server.hpp"
#include "common/kube/client.hpp"
#include "extender/config/policy_file.hpp"
#include "extender/decide/publisher.hpp"
#include "extender/feeds/kubernetes.hpp"
#include "extender/feeds/measurements.hpp"
#include "extender/feeds/profiles.hpp"
#include "extender/options.hpp"
#include "extender/serve/service.hpp"

namespace optipod::extender {

/// What is known before anything starts.
struct Setup {
  Options options;
  PolicyFileOptions policy_file;
  std::shared_ptr<const PolicySet> policies;  ///< as the file says now
  std::unique_ptr<kube::Client> client;       ///< null: no API server
};

/// Reads files and environment. The error says what is wrong with which.
tl::expected<Setup, std::string> set_up(Options options);

class Program {
 public:
  explicit Program(Setup setup);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Listens and starts to fetch and follow; the error says what could not be bound.
  tl::expected<void, std::string> start();
  /// Until `stop`; then ends what is under way.
  void run(app::Stop& stop);

 private:
  /// The last thing that was wrong with the file of --policies; "" when its newest content is used.
  class ParametersError {
   public:
    [[nodiscard]] std::string get() const;
    void set(std::string text);

   private:
    mutable std::mutex mutex_;
    std::string text_;
  };

  [[nodiscard]] http::ServerLimits limits() const;
  [[nodiscard]] ServiceParts service_parts();
  [[nodiscard]] KubernetesHealth health() const;
  bool is_followed();
  void watch_parameters();
  void start_feeds();

  const Setup setup_;
  Metrics metrics_;
  Records records_;
  Ledger ledger_;
  Workloads workloads_;
  ClusterState state_;
  CurrentWorld current_;
  Publisher publisher_;
  Answers answers_;
  ParametersError parameters_error_;
  std::optional<Binder> binder_;
  std::chrono::steady_clock::time_point followed_at_{};  ///< pods and nodes both, at the latest
  // Threads that use the above; destroyed first.
  std::optional<KubernetesFeed> kubernetes_;
  std::optional<Service> service_;
  http::Server server_;
  std::optional<PolicyFileWatch> parameters_;
  std::optional<MeasurementsFeed> measurements_;
  std::optional<ProfilesFeed> profiles_;
};

}  // namespace optipod::extender
