// SPDX-License-Identifier: Apache-2.0
//
// What a program says about itself: prometheus-cpp counts, common/text writes.
#pragma once

#include <memory>
#include <string>

#include <prometheus/registry.h>

namespace optipod::text {

/// A registry with optipod_<program>_build_info and the process_* metrics every exporter has
/// (cpu_seconds_total, resident_memory_bytes, virtual_memory_bytes, open_fds, max_fds,
/// start_time_seconds). Thread-safe.
class SelfMetrics {
 public:
  explicit SelfMetrics(std::string program);  ///< "aggregator"
  ~SelfMetrics();

  prometheus::Registry& registry();
  /// Appends the exposition of everything registered, families sorted by name.
  void render(std::string& out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::text
