// SPDX-License-Identifier: Apache-2.0
//
// Which exporters there are: those of the --target flags, and those of all sources.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "aggregator/discovery/source.hpp"
#include "aggregator/discovery/target.hpp"

namespace optipod::aggregator {

/// Merges all sources. One thread.
class Discovery {
 public:
  /// `scheme`: of targets that say none.
  Discovery(std::vector<Target> fixed, std::vector<std::unique_ptr<Source>> sources,
            const std::string& scheme = "http");

  /// Takes what is new at the sources. Returns whether targets() changed.
  bool refresh(std::chrono::steady_clock::time_point now);

  /// Ordered as given: flags, then sources. A node's name that is taken already is left out: the
  /// first wins.
  [[nodiscard]] const Targets& targets() const { return targets_; }
  /// What is wrong now: one message a source that could not be used, one a target left out.
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
  /// Every source has given a list, or has failed to: what targets() lacks is not just late.
  [[nodiscard]] bool settled() const;

  [[nodiscard]] std::vector<SourceState> states() const;
  [[nodiscard]] std::size_t left_out() const { return left_out_; }

 private:
  bool merge();

  Targets fixed_;
  std::vector<std::unique_ptr<Source>> sources_;
  Targets targets_;
  std::vector<std::string> problems_;
  std::size_t left_out_ = 0;
};

}  // namespace optipod::aggregator
