// SPDX-License-Identifier: Apache-2.0
#include "common/http/configured_client.hpp"

#include <utility>

namespace optipod::http {

tl::expected<OriginReply, OriginError> ConfiguredClient::send(OriginRequest request) {
  auto config = file_ ? file_->current() : config_;
  if (!client_ || config != config_) {
    auto client = OriginClient::make(url_, config ? config->tls : TlsOptions{});
    if (!client) return tl::unexpected(OriginError{.message = client.error()});
    client_ = std::move(*client);
    config_ = std::move(config);
  }
  if (config_ && !config_->authorization.empty()) {
    request.headers.emplace_back("Authorization", config_->authorization);
  }
  return client_->send(request);
}

}  // namespace optipod::http
