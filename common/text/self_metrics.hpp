// SPDX-License-Identifier: Apache-2.0
//
// What a program says about itself: prometheus-cpp counts, common/text writes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <prometheus/registry.h>

#include "common/text/exposition.hpp"

namespace optipod::text {

/// A registry with optipod_<program>_build_info and the process_* metrics every exporter has
/// (cpu_seconds_total, resident_memory_bytes, virtual_memory_bytes, open_fds, max_fds,
/// start_time_seconds). Thread-safe.
class SelfMetrics {
 public:
  explicit SelfMetrics(std::string program);  ///< "aggregator"
  ~SelfMetrics();

  prometheus::Registry& registry();
  /// Whether a family is to be shown.
  using Keep = std::function<bool(std::string_view name)>;
  /// Appends the exposition of everything registered, or of what `keep` keeps of it, families
  /// sorted by name.
  void render(std::string& out, Format format = Format::kText, const Keep& keep = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::text
