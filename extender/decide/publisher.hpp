// SPDX-License-Identifier: Apache-2.0
//
// Puts worlds together in the background: measurements as they are fetched, what Kubernetes says as
// it changes, policies as their parameters are reloaded.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "extender/cluster/cluster_state.hpp"
#include "extender/cluster/ledger.hpp"
#include "extender/cluster/measurements.hpp"
#include "extender/decide/world.hpp"

namespace optipod::extender {

/// Thread-safe. Every call that changes something publishes a world; decisions never wait for it.
class Publisher {
 public:
  /// A measurement older than `keep_ms` is dropped. `state` may be null: no API server. The rest
  /// must outlive the publisher.
  Publisher(std::int64_t keep_ms, CurrentWorld& current, Ledger& ledger, const ClusterState* state);

  /// A /federate answer. On an error, which names the line, nothing is published.
  tl::expected<Built, std::string> take(std::string_view text, std::int64_t now_ms);
  void set_policies(std::shared_ptr<const PolicySet> policies, std::int64_t now_ms);
  /// Whether the API server's changes still come. While they do not, nothing counts as said by it;
  /// true at first. Takes effect with the next refresh().
  void set_followed(bool followed);
  /// Time has passed: drops what is too old, takes in what Kubernetes says now. Nothing, when a
  /// world was published less than `at_least_ms` ago and Kubernetes' word counts as it did then.
  /// Bookings cover what happens in between.
  void refresh(std::int64_t now_ms, std::int64_t at_least_ms = 0);

 private:
  [[nodiscard]] bool follows_kubernetes() const;
  void publish(std::int64_t now_ms);
  std::shared_ptr<const Snapshot> snapshot_now(std::int64_t now_ms);
  void lay_out(std::int64_t now_ms);
  void add_facts(const ClusterFacts& facts, Snapshot& snapshot);

  const std::int64_t keep_ms_;
  CurrentWorld& current_;
  Ledger& ledger_;
  const ClusterState* const state_;

  std::mutex mutex_;  // of all below
  MeasurementsReader reader_;
  std::shared_ptr<const Measurements> measured_ = std::make_shared<const Measurements>();
  std::shared_ptr<const PolicySet> policies_;
  bool followed_ = true;
  std::uint64_t bindings_ = 0;     // of the ledger in the last world
  std::int64_t published_ms_ = 0;  // the last world
  std::int64_t laid_out_ms_ = 0;   // the last other order of rows
  // [name]: its row in that table.
  std::shared_ptr<const std::vector<std::string>> fact_names_;
  std::vector<std::uint32_t> fact_rows_;
  std::uint64_t fact_table_ = 0;
};

}  // namespace optipod::extender
