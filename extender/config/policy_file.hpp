// SPDX-License-Identifier: Apache-2.0
//
// The file of --policies, read again when it changes.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <tl/expected.hpp>

#include "extender/config/parameters.hpp"
#include "extender/decide/policy_set.hpp"

namespace optipod::extender {

struct PolicyFileOptions {
  std::string path;  ///< "": no file
  Parameters base;   ///< what holds where the file is silent
  /// --policy, which wins over the file's section `policies`; "": not given.
  std::string combination;
  wire::ResourceNames resources = wire::ResourceNames();
};

/// Reads the file and makes the policies. The error says what is wrong on which line.
tl::expected<std::shared_ptr<const PolicySet>, std::string> load_policies(
    const PolicyFileOptions& options);

/// Looks at the file twice a second, by its content: a ConfigMap is replaced by moving a link. A
/// new content counts once it has been seen twice, so that a half-written file does not.
class PolicyFileWatch {
 public:
  using Loaded = std::function<void(tl::expected<std::shared_ptr<const PolicySet>, std::string>)>;
  /// `changed` runs on the watch's thread, for each new content, good or bad. `options` must be the
  /// ones that were loaded.
  PolicyFileWatch(PolicyFileOptions options, Loaded changed,
                  std::chrono::milliseconds interval = std::chrono::milliseconds(500));

 private:
  std::jthread thread_;
};

}  // namespace optipod::extender
