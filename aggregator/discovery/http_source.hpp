// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "aggregator/discovery/source.hpp"
#include "common/http/client_config.hpp"

namespace optipod::aggregator {

/// An http_sd endpoint, as Prometheus asks it: the whole list each time, status 200, Content-Type
/// application/json. `config`: whom to trust, who we are; looked at with each request.
/// The error says what is wrong with the URL.
tl::expected<std::unique_ptr<Source>, std::string> make_http_source(
    const std::string& url, std::chrono::milliseconds interval,
    std::shared_ptr<http::ClientConfigFile> config);

}  // namespace optipod::aggregator
