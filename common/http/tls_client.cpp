// SPDX-License-Identifier: Apache-2.0
#include "common/http/tls_client.hpp"

#include <utility>

#include "common/http/tls_context.hpp"

namespace optipod::http {

TlsClient::TlsClient(std::shared_ptr<Context> context, std::string server_name)
    : context_(std::move(context)), server_name_(std::move(server_name)) {}

tl::expected<std::shared_ptr<const TlsClient>, std::string> TlsClient::make(
    const TlsOptions& options) {
  auto context = make_tls_context(options);
  if (!context) return tl::unexpected(context.error());
  return std::shared_ptr<const TlsClient>(new TlsClient(std::move(*context), options.server_name));
}

}  // namespace optipod::http
