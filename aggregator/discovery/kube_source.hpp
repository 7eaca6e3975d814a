// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "aggregator/discovery/source.hpp"
#include "common/kube/client.hpp"

namespace optipod::aggregator {

/// The ready endpoints of a Service of Kubernetes, followed at the API server: "NAMESPACE/SERVICE",
/// with ":PORT" (a number or a name) behind when the Service has several. Its right: list and watch
/// endpointslices of discovery.k8s.io in that namespace. While the API server cannot be reached the
/// last list stays in use. `client` outlives it. The error says what is wrong with the text.
tl::expected<std::unique_ptr<Source>, std::string> make_kube_source(const std::string& text,
                                                                    const kube::Client& client);

}  // namespace optipod::aggregator
