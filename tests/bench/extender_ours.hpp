// SPDX-License-Identifier: Apache-2.0
// The extender as its main() puts it together, in this process, so that the time of each request
// can be taken inside the server; with all that goes on beside requests: measurements come in twice
// a second, pods are bound, worlds are published.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/http/server.hpp"
#include "extender/cluster/cluster_state.hpp"
#include "extender/decide/publisher.hpp"
#include "extender/feeds/measurements.hpp"
#include "extender/serve/service.hpp"

namespace optipod::bench {

class Ours {
 public:
  /// Measurements are fetched from `metrics_url`; /prioritize and /filter combine all policies.
  explicit Ours(std::string metrics_url);
  ~Ours();
  Ours(const Ours&) = delete;
  Ours& operator=(const Ours&) = delete;

  [[nodiscard]] std::uint16_t port() const { return server_.port(); }
  [[nodiscard]] std::vector<std::string> policies() const;
  [[nodiscard]] std::size_t booked() const { return ledger_.pods(); }
  /// Nanoseconds of each of the `count` requests since the last call, from the last byte read to
  /// the last of the reply handed to the kernel. Waits for those of which the client already has
  /// the reply, but the server has not yet taken the time.
  std::vector<double> take(std::size_t count);

 private:
  void know_cluster();
  void follow(const std::stop_token& stop);

  extender::Metrics metrics_;
  extender::Records records_{512};
  extender::Ledger ledger_;
  extender::Workloads workloads_;
  extender::ClusterState state_;
  extender::CurrentWorld current_;
  extender::Publisher publisher_;
  extender::Answers answers_;
  extender::Service service_;
  http::Server server_{{}, 2};
  std::mutex mutex_;
  std::condition_variable timed_;
  std::vector<double> taken_;
  extender::MeasurementsFeed measurements_;
  std::jthread following_;  // last: it uses the rest
};

}  // namespace optipod::bench
