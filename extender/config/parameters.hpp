// SPDX-License-Identifier: Apache-2.0
//
// The policies' parameters: defaults, the environment variables of older systems, and the YAML file
// of --policies (docs/policies.md shows all of it).
#pragma once

#include <functional>
#include <string>

#include <tl/expected.hpp>

#include "extender/policies/registry.hpp"
#include "extender/wire/resources.hpp"

namespace optipod::extender {

struct Parameters {
  PolicyParameters policies;
  /// "contention=2,safe=1" of the file's section `policies`; "" when it has none.
  std::string combination;
};

/// `base` with what `text` (YAML) says. The error is "FILE:LINE: what, and what there is instead".
tl::expected<Parameters, std::string> read_parameters(const std::string& text,
                                                      const std::string& file, Parameters base,
                                                      const wire::ResourceNames& resources);

using Environment = std::function<const char*(const char* name)>;

/// The environment variables that kube-safe-scheduler's agents take, as parameters:
/// SAFEUTILIZATION, SAFEPERCENTILE, SAFEFORECASTWEIGHT, CONGESTION_FACTOR_MAX, POLICY_OBJECTIVE,
/// NUM_RESOURCES. The error names the variable.
tl::expected<Parameters, std::string> parameters_of_environment(
    const Environment& environment, const wire::ResourceNames& resources);

/// LOG_LEVEL and HTTP_PORT of the same, as OPTIPOD_LOG_LEVEL and OPTIPOD_WEB_LISTEN_ADDRESS where
/// those are not set themselves. Before any thread is started. The error names the variable.
tl::expected<void, std::string> alias_environment();

}  // namespace optipod::extender
