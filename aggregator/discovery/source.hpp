// SPDX-License-Identifier: Apache-2.0
//
// A place that targets are read from.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <tl/expected.hpp>

#include "aggregator/discovery/target.hpp"

namespace optipod::aggregator {

using TargetList = tl::expected<std::vector<Target>, std::string>;

struct SourceState {
  std::string mechanism;                      ///< as its flag: "file-sd"
  std::string name;                           ///< what the flag says
  bool tried = false;                         ///< it has given a list, or has failed to
  bool good = false;                          ///< the last attempt gave a list
  std::uint64_t refreshes = 0, failures = 0;  ///< attempts; those that gave none
  std::size_t targets = 0;                    ///< of the list in use
  double last_success = 0;                    ///< Unix time in seconds; 0: never
  std::string problem;                        ///< what is wrong now; "" when nothing is
};

/// One thread. What takes time happens on threads of the source's own. A failure leaves the last
/// good list in use.
class Source {
 public:
  Source(std::string mechanism, std::string name) {
    state_.mechanism = std::move(mechanism);
    state_.name = std::move(name);
  }
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  /// Takes what is new; returns whether there was anything.
  virtual bool refresh(std::chrono::steady_clock::time_point now) = 0;
  /// Of targets that say none, before the first refresh().
  void use_scheme(std::string scheme) { scheme_ = std::move(scheme); }
  [[nodiscard]] const Targets& targets() const { return targets_; }
  [[nodiscard]] const SourceState& state() const { return state_; }

 protected:
  void take(std::vector<Target> list) {
    targets_ = share(std::move(list), scheme_, targets_);
    state_.targets = targets_.size();
  }
  /// An attempt ended at that Unix time.
  void ended(TargetList list, double unix_seconds) {
    if (list) {
      take(std::move(*list));
      return ended_alike(unix_seconds);
    }
    ++state_.refreshes;
    state_.tried = true;
    state_.good = false;
    ++state_.failures;
    fail(list.error());
  }
  /// The same with the list that is in use.
  void ended_alike(double unix_seconds) {
    ++state_.refreshes;
    state_.tried = state_.good = true;
    state_.problem.clear();
    state_.last_success = unix_seconds;
  }
  void fail(std::string_view why) {
    const std::string kept =
        state_.last_success == 0
            ? "it has given no list yet"
            : fmt::format("its last good list of {} targets stays in use", targets_.size());
    state_.problem = fmt::format("--{} {}: {}; {}", state_.mechanism, state_.name, why, kept);
  }

  SourceState state_;

 private:
  std::string scheme_;
  Targets targets_;
};

inline double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace optipod::aggregator
