// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "common/http/client_config.hpp"
#include "common/http/origin_client.hpp"

namespace optipod::http {

/// Requests to one origin, as a file says: whom to trust and who we are. The file is looked at with
/// each request. One thread.
class ConfiguredClient {
 public:
  /// `url` as OriginClient::make takes it. `config` null: the system's authorities, nobody.
  ConfiguredClient(std::string url, std::shared_ptr<ClientConfigFile> config)
      : url_(std::move(url)), file_(std::move(config)) {}

  tl::expected<OriginReply, OriginError> send(OriginRequest request);

 private:
  std::string url_;
  std::shared_ptr<ClientConfigFile> file_;
  std::shared_ptr<const ClientConfig> config_;  ///< that client_ was made with
  std::unique_ptr<OriginClient> client_;
};

}  // namespace optipod::http
