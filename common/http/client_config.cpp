// SPDX-License-Identifier: Apache-2.0
#include "common/http/client_config.hpp"

#include <utility>

#include <openssl/evp.h>
#include <yaml-cpp/yaml.h>

#include "common/config/files.hpp"
#include "common/config/yaml_file.hpp"
#include "common/config/yaml_section.hpp"
#include "common/http/head.hpp"

namespace optipod::http {
namespace {

using config::YamlSection;
using Read = tl::expected<std::shared_ptr<const ClientConfig>, std::string>;

std::string base64(const std::string& text) {
  std::string out(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

class Reader {
 public:
  Reader(const std::string& path, std::vector<std::string>& files) : file_(path, files) {}

  Read read() {
    const std::string wrong = file_.load([this](const YAML::Node& root) {
      YamlSection section(root, "", file_.problem());
      read_tls(section.below("tls_config"));
      const YAML::Node password = section.below("basic_auth");
      const YAML::Node token = section.below("authorization");
      read_password(password);
      read_token(token);
      if (password.IsDefined() && token.IsDefined()) {
        section.reject("authorization", "given beside basic_auth; one of them can be sent");
      }
    });
    if (!wrong.empty()) return tl::unexpected(wrong);
    return std::make_shared<const ClientConfig>(std::move(config_));
  }

 private:
  void read_tls(const YAML::Node& node) {
    YamlSection section(node, "tls_config", file_.problem());
    TlsOptions& tls = config_.tls;
    bool skip = false;
    file_.text_or_file(section, "ca", tls.ca_pem);
    file_.text_or_file(section, "cert", tls.certificate_pem);
    file_.text_or_file(section, "key", tls.key_pem);
    section.text("server_name", tls.server_name);
    section.flag("insecure_skip_verify", skip);
    tls.verify = !skip;
    if (!section.only_known()) return;
    auto client = TlsClient::make(tls);
    if (!client) return section.reject("", client.error());
    config_.tls_client = std::move(*client);
  }

  /// Secrets in files end with a line end more often than not.
  void secret(YamlSection& section, const std::string& key, std::string& out) {
    file_.text_or_file(section, key, out);
    out = config::trimmed(out);
  }

  void read_password(const YAML::Node& node) {
    YamlSection section(node, "basic_auth", file_.problem());
    std::string user, password;
    secret(section, "username", user);
    secret(section, "password", password);
    if (!section.only_known() || !node.IsDefined()) return;
    if (user.empty()) return section.reject("", "needs username");
    if (user.find(':') != std::string::npos) {
      return section.reject("username", "a user's name holds no colon");
    }
    config_.authorization = "Basic " + base64(user + ":" + password);
  }

  void read_token(const YAML::Node& node) {
    YamlSection section(node, "authorization", file_.problem());
    std::string type = "Bearer", credentials;
    section.text("type", type);
    secret(section, "credentials", credentials);
    if (!section.only_known() || !node.IsDefined()) return;
    if (credentials.empty()) return section.reject("", "needs credentials or credentials_file");
    if (equals_no_case(type, "Basic")) return section.reject("type", "use basic_auth instead");
    std::string value = type + " " + credentials;
    if (!header_is_safe("Authorization", value)) {
      return section.reject("", "its credentials have a line break or a control character");
    }
    config_.authorization = std::move(value);
  }

  config::YamlFile file_;
  ClientConfig config_;
};

}  // namespace

Read read_client_config(const std::string& path, std::vector<std::string>& files) {
  if (!path.empty()) return Reader(path, files).read();
  files.clear();
  ClientConfig config;
  auto client = TlsClient::make(config.tls);
  if (!client) return tl::unexpected(client.error());
  config.tls_client = std::move(*client);
  return std::make_shared<const ClientConfig>(std::move(config));
}

tl::expected<std::shared_ptr<ClientConfigFile>, std::string> open_client_config(
    const std::string& path) {
  return ClientConfigFile::open(path, read_client_config);
}

}  // namespace optipod::http
