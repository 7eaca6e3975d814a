// SPDX-License-Identifier: Apache-2.0
#include "common/http/web_config.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <spdlog/spdlog.h>
#include <yaml-cpp/yaml.h>

#include "common/config/files.hpp"
#include "common/config/yaml_section.hpp"
#include "common/http/head.hpp"
#include "common/http/tls_server.hpp"

namespace optipod::http {
namespace {

using config::YamlProblem;
using config::YamlSection;
using Read = tl::expected<std::shared_ptr<const WebConfig>, std::string>;

std::string version_of(const std::vector<std::string>& files) {
  std::string out;
  for (const std::string& file : files) out.append(config::file_version(file)).append("\n");
  return out;
}

class Reader {
 public:
  Reader(const std::string& path, std::vector<std::string>& files)
      : path_(path), files_(files), problem_(path) {
    const std::size_t slash = path.rfind('/');
    if (slash != std::string::npos) directory_ = path.substr(0, slash + 1);
  }

  Read read();

 private:
  void read_all(const YAML::Node& root);
  void read_tls(const YAML::Node& node);
  void read_http(const YAML::Node& node);
  void read_users(const YAML::Node& node);
  void material(YamlSection& section, const std::string& key, std::string& out);
  static void client_auth(YamlSection& section, TlsServerOptions& options);

  const std::string& path_;
  std::vector<std::string>& files_;
  std::string directory_;
  YamlProblem problem_;
  WebConfig config_;
};

Read Reader::read() {
  files_ = {path_};
  const auto text = config::read_file(path_);
  if (!text) return tl::unexpected(text.error());
  try {
    read_all(YAML::Load(*text));
  } catch (const YAML::Exception& error) {
    return tl::unexpected(path_ + ":" + std::to_string(error.mark.line + 1) + ": " + error.msg);
  }
  if (!problem_.text().empty()) return tl::unexpected(problem_.text());
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

/// A text, or the content of the file that <key>_file names: not both.
void Reader::material(YamlSection& section, const std::string& key, std::string& out) {
  std::string file;
  section.text(key, out);
  section.text(key + "_file", file);
  if (file.empty()) return;
  if (!out.empty()) return section.reject(key, "given as text and as " + key + "_file");
  if (file.front() != '/') file.insert(0, directory_);
  files_.push_back(file);
  auto content = config::read_file(file);
  if (!content) return section.reject(key + "_file", content.error());
  out = std::move(*content);
  if (out.empty()) section.reject(key + "_file", file + " is empty");
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
  material(section, "cert", options.certificate_pem);
  material(section, "key", options.key_pem);
  material(section, "client_ca", options.client_ca_pem);
  client_auth(section, options);
  section.list("client_allowed_sans", options.allowed_sans);
  section.text("min_version", options.min_version);
  section.text("max_version", options.max_version);
  section.list("cipher_suites", options.cipher_suites);
  section.flag("prefer_server_cipher_suites", options.prefer_server_ciphers);
  section.list("curve_preferences", options.curves);
  if (!node.IsDefined() || node.IsNull() || node.size() == 0) return;
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

}  // namespace

Read read_web_config(const std::string& path, std::vector<std::string>& files) {
  return Reader(path, files).read();
}

/// A file that changes while it is read is read again: its version was taken before.
Read WebConfigFile::read() {
  version_ = version_of(files_);
  const std::vector<std::string> known = files_;
  auto made = read_web_config(path_, files_);
  if (files_ != known) version_ = version_of(files_);
  return made;
}

tl::expected<std::shared_ptr<WebConfigFile>, std::string> WebConfigFile::open(
    const std::string& path) {
  const std::shared_ptr<WebConfigFile> file(new WebConfigFile(path));
  auto made = file->read();
  if (!made) return tl::unexpected(made.error());
  file->config_ = std::move(*made);
  return file;
}

std::shared_ptr<const WebConfig> WebConfigFile::current() {
  const std::lock_guard lock(mutex_);
  if (version_of(files_) == version_) return config_;
  auto made = read();
  if (!made) {
    spdlog::error("{}; what it said before stays in use", made.error());
  } else if (((*made)->tls == nullptr) != (config_->tls == nullptr)) {
    spdlog::error("{}: TLS cannot be switched {} while running; restart to do so", path_,
                  (*made)->tls ? "on" : "off");
  } else {
    spdlog::info("{}: changed, and in use", path_);
    config_ = std::move(*made);
  }
  return config_;
}

}  // namespace optipod::http
