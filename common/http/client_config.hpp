// SPDX-License-Identifier: Apache-2.0
//
// Whom an outgoing request trusts, and who it says it is: a file with the keys that Prometheus has
// for it (tls_config, basic_auth, authorization). The file and those it names are looked at again,
// so that a rotated certificate, token or password counts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "common/config/watched.hpp"
#include "common/http/tls.hpp"
#include "common/http/tls_client.hpp"

namespace optipod::http {

/// What the file says. Never changes.
struct ClientConfig {
  TlsOptions tls;
  std::shared_ptr<const TlsClient> tls_client;  ///< made of `tls`
  std::string authorization;                    ///< value of that header; "": none is sent
};

/// The error says what is wrong, in which file and on which line. `files` becomes what was looked
/// at, in any case. Without a file (path ""): the system's authorities, nobody.
tl::expected<std::shared_ptr<const ClientConfig>, std::string> read_client_config(
    const std::string& path, std::vector<std::string>& files);

/// The file as it is at the moment.
using ClientConfigFile = config::Watched<ClientConfig>;
tl::expected<std::shared_ptr<ClientConfigFile>, std::string> open_client_config(
    const std::string& path);

}  // namespace optipod::http
