// SPDX-License-Identifier: Apache-2.0
#include "common/http/web_config.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <yaml-cpp/yaml.h>

#include "common/config/yaml_file.hpp"
#include "common/config/yaml_section.hpp"
#include "common/http/head.hpp"
#include "common/http/tls_server.hpp"

namespace optipod::http {
namespace {

using config::YamlProblem;
using config::YamlSection;
using Read = tl::expected<std::shared_ptr<const WebConfig>, std::string>;

class Reader {
 public:
  Reader(const std::string& path, std::vector<std::string>& files) : file_(path, files) {}

  Read read();

 private:
  void read_all(const YAML::Node& root);
  void read_tls(const YAML::Node& node);
  void read_http(const YAML::Node& node);
  void read_users(const YAML::Node& node);
  static void client_auth(YamlSection& section, TlsServerOptions& options);

  config::YamlFile file_;
  YamlProblem& problem_ = file_.problem();
  WebConfig config_;
};

Read Reader::read() {
  const std::string wrong = file_.load([this](const YAML::Node& root) { read_all(root); });
  if (!wrong.empty()) return tl::unexpected(wrong);
  return std::make_shared<const WebConfig>(std::move(config_));
}

void Reader::read_all(const YAML::Node& root) {
  YamlSection section(root, "", problem_);
  read_tls(section.below("tls_server_config"));
  read_http(section.below("http_server_config"));
  read_users(section.below("basic_auth_users"));
  if (section.below("rate_limit").IsDefined()) {
    section.reject("rate_limit", "not supported; the server bounds by itself what it does at once");
  }
}

void Reader::client_auth(YamlSection& section, TlsServerOptions& options) {
  using enum TlsServerOptions::ClientAuth;
  const std::vector<std::string> names = {"NoClientCert", "RequestClientCert",
                                          "RequireAnyClientCert", "VerifyClientCertIfGiven",
                                          "RequireAndVerifyClientCert"};
  constexpr std::array kPolicies = {kNone, kRequest, kRequireAny, kVerifyIfGiven,
                                    kRequireAndVerify};
  std::size_t which = 0;
  section.choice("client_auth_type", names, which);
  options.client_auth = kPolicies[which];
}

void Reader::read_tls(const YAML::Node& node) {
  YamlSection section(node, "tls_server_config", problem_);
  TlsServerOptions options;
  file_.text_or_file(section, "cert", options.certificate_pem);
  file_.text_or_file(section, "key", options.key_pem);
  file_.text_or_file(section, "client_ca", options.client_ca_pem);
  client_auth(section, options);
  section.list("client_allowed_sans", options.allowed_sans);
  section.text("min_version", options.min_version);
  section.text("max_version", options.max_version);
  section.list("cipher_suites", options.cipher_suites);
  section.flag("prefer_server_cipher_suites", options.prefer_server_ciphers);
  section.list("curve_preferences", options.curves);
  if (!section.only_known() || !node.IsDefined() || node.size() == 0) return;
  if (options.certificate_pem.empty()) return section.reject("", "needs cert_file");
  if (options.key_pem.empty()) return section.reject("", "needs key_file");
  auto server = TlsServer::make(options);
  if (!server) return section.reject("", server.error());
  config_.tls = std::move(*server);
}

void Reader::read_http(const YAML::Node& node) {
  YamlSection section(node, "http_server_config", problem_);
  bool http2 = true;  // we speak HTTP/1.1 either way, which every client takes
  section.flag("http2", http2);
  YamlSection headers(section.below("headers"), "http_server_config.headers", problem_);
  struct Known {
    const char* name;
    std::vector<std::string> values;
  };
  const std::vector<Known> all = {{"Content-Security-Policy", {}},
                                  {"Strict-Transport-Security", {}},
                                  {"X-Content-Type-Options", {"nosniff"}},
                                  {"X-Frame-Options", {"deny", "sameorigin"}},
                                  {"X-XSS-Protection", {}}};
  for (const auto& [name, values] : all) {
    std::string value;
    std::size_t which = 0;
    values.empty() ? headers.text(name, value) : headers.choice(name, values, which);
    if (!values.empty() && headers.below(name).IsDefined()) value = values[which];
    if (value.empty()) continue;
    if (!header_is_safe(name, value)) headers.reject(name, "a header cannot have such a value");
    config_.headers.emplace_back(name, value);
  }
}

void Reader::read_users(const YAML::Node& node) {
  YamlSection section(node, "basic_auth_users", problem_);
  for (const auto& [user, hash] : section.texts()) {
    if (const std::string wrong = problem_of_hash(hash); !wrong.empty()) {
      section.reject(user, wrong);
    }
    if (user.find(':') != std::string::npos) section.reject(user, "a user's name holds no colon");
    config_.users.emplace(user, hash);
  }
}

/// TLS cannot be switched while connections are open: a restart does that.
std::string refusal(const WebConfig& now, const WebConfig& next) {
  if ((next.tls == nullptr) == (now.tls == nullptr)) return {};
  return std::string("TLS cannot be switched ") + (next.tls ? "on" : "off") +
         " while running; restart to do so";
}

}  // namespace

Read read_web_config(const std::string& path, std::vector<std::string>& files) {
  return Reader(path, files).read();
}

tl::expected<std::shared_ptr<WebConfigFile>, std::string> open_web_config(const std::string& path) {
  return WebConfigFile::open(path, read_web_config, refusal);
}

}  // namespace optipod::http
