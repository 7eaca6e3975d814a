// SPDX-License-Identifier: Apache-2.0
#include "common/kube/access.hpp"

#include <cstddef>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "common/config/files.hpp"
#include "common/http/head.hpp"

namespace optipod::kube {
namespace {

using Made = tl::expected<std::shared_ptr<const Access>, std::string>;

constexpr std::size_t kMostToken = 64 * 1024;

std::string refusal(const Access& now, const Access& next) {
  if (now.config.server == next.config.server) return {};
  return "the server changed from " + now.config.server + " to " + next.config.server +
         "; restart to follow it";
}

}  // namespace

tl::expected<void, std::string> Token::load() {
  const std::lock_guard lock(mutex_);
  if (!file_.empty()) {
    version_ = config::file_version(file_);
    auto read = read_token();
    if (!read) return tl::unexpected(read.error());
    token_ = std::move(*read);
  }
  if (!http::header_is_safe("Authorization", token_)) {
    return tl::unexpected(std::string("the token holds a line break"));
  }
  return {};
}

std::string Token::get(bool must) {
  const std::lock_guard lock(mutex_);
  if (file_.empty()) return token_;
  std::string version = config::file_version(file_);
  if (version == version_ && !must) return token_;
  version_ = std::move(version);
  auto read = read_token();
  if (read) {
    token_ = std::move(*read);
  } else {
    spdlog::warn("Kubernetes token stays as it was: {}", read.error());
  }
  return token_;
}

tl::expected<std::string, std::string> Token::read_token() const {
  auto text = config::read_file(file_, kMostToken);
  if (!text) return tl::unexpected(text.error());
  std::string token = config::trimmed(*text);
  if (token.empty()) return tl::unexpected(file_ + " is empty");
  if (!http::header_is_safe("Authorization", token)) {
    return tl::unexpected(file_ + " holds more than a token");
  }
  return token;
}

Made make_access(ClusterConfig config) {
  const auto fail = [&](const std::string& why) {
    return tl::unexpected(config.source.empty() ? why : config.source + ": " + why);
  };
  http::TlsOptions tls;
  tls.ca_pem = config.ca_pem;
  tls.certificate_pem = config.client_cert_pem;
  tls.key_pem = config.client_key_pem;
  tls.server_name = config.tls_server_name;
  tls.verify = !config.insecure_skip_tls_verify;
  auto origin = http::OriginClient::make(config.server, tls);
  if (!origin) return fail("server: " + origin.error());
  auto token = std::make_unique<Token>(config);
  if (const auto loaded = token->load(); !loaded) return fail(loaded.error());
  auto access = std::make_shared<Access>();
  access->config = std::move(config);
  access->origin = std::move(*origin);
  access->token = std::move(token);
  return access;
}

tl::expected<std::shared_ptr<AccessFile>, std::string> fixed_access(ClusterConfig config) {
  return AccessFile::open({}, [config = std::move(config)](const auto&, auto& files) {
    files.clear();
    return make_access(config);
  });
}

tl::expected<std::shared_ptr<AccessFile>, std::string> open_access(const std::string& path,
                                                                   const std::string& context) {
  const auto read = [path, context](const std::string&, std::vector<std::string>& files) -> Made {
    auto config = load_config(path, context, &files);
    if (!config) return tl::unexpected(config.error());
    return make_access(std::move(*config));
  };
  return AccessFile::open("Kubernetes' configuration", read, refusal);
}

}  // namespace optipod::kube
