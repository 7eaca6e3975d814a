// SPDX-License-Identifier: Apache-2.0
//
// Who may speak with a server, and how: web.config.yml as the Prometheus exporter toolkit defines
// it. The file and those it names are looked at whenever a connection or a request comes, so that a
// rotated certificate or a changed password counts at once.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "common/config/watched.hpp"
#include "common/http/passwords.hpp"

namespace optipod::http {

class TlsServer;

/// What the file says. Never changes; what is read of it stays good while it is held.
struct WebConfig {
  std::shared_ptr<TlsServer> tls;                            ///< null: plain HTTP
  Users users;                                               ///< empty: anybody
  std::vector<std::pair<std::string, std::string>> headers;  ///< added to every reply
};

/// The error says what is wrong, in which file and on which line. `files` becomes what was looked
/// at, in any case.
tl::expected<std::shared_ptr<const WebConfig>, std::string> read_web_config(
    const std::string& path, std::vector<std::string>& files);

/// The file as it is at the moment. TLS cannot be switched on or off by a change: that takes a
/// restart.
using WebConfigFile = config::Watched<WebConfig>;
tl::expected<std::shared_ptr<WebConfigFile>, std::string> open_web_config(const std::string& path);

}  // namespace optipod::http
