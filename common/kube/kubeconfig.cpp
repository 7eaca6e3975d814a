// SPDX-License-Identifier: Apache-2.0
//
// The kubeconfig file. Format: client-go, tools/clientcmd/api/v1/types.go; precedence as client-go
// has it: *-data before files, tokenFile before token.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "common/config/files.hpp"
#include "common/kube/config.hpp"

namespace optipod::kube {
namespace {

using config::read_file;
using config::trimmed;

constexpr std::size_t kMostBytes = 8 * 1024 * 1024;

/// Ends the reading; never leaves this file.
struct Bad {
  std::string message;
};

std::string decode_base64(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; });
  if (text.empty() || text.size() % 4 != 0) return {};
  std::string out(text.size() / 4 * 3, '\0');
  const int n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(text.data()),
                                static_cast<int>(text.size()));
  if (n < 0) return {};
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  out.resize(static_cast<std::size_t>(n) - padding);
  return out;
}

class Reader {
 public:
  Reader(std::string path, std::vector<std::string>& files)
      : path_(std::move(path)), files_(files) {
    files_ = {path_};
  }

  ClusterConfig read(const std::string& wanted_context) {
    const auto text = read_file(path_, kMostBytes);
    if (!text) throw Bad{"kubeconfig: " + text.error()};
    const YAML::Node root = YAML::Load(*text);
    if (!root.IsMap()) fail(root, "is not a mapping with clusters, users and contexts");
    if (root["kind"] && string(root["kind"], "kind") != "Config") {
      fail(root["kind"], "kind is not Config");
    }
    std::string name = wanted_context;
    if (name.empty() && root["current-context"]) {
      name = string(root["current-context"], "current-context");
    }
    if (name.empty()) {
      fail(root, "has no current-context; name a context with --kube-context (" +
                     names(root["contexts"]) + ")");
    }
    const YAML::Node context = entry(root, "contexts", "context", name);
    ClusterConfig out;
    out.source = "kubeconfig " + path_ + ", context " + name;
    if (context["namespace"]) {
      const std::string given = string(context["namespace"], "namespace");
      if (!given.empty()) out.default_namespace = given;
    }
    if (!context["cluster"]) fail(context, "context \"" + name + "\" names no cluster");
    cluster(entry(root, "clusters", "cluster", string(context["cluster"], "cluster")), out);
    const std::string user_name = context["user"] ? string(context["user"], "user") : "";
    if (!user_name.empty()) user(entry(root, "users", "user", user_name), out);
    return out;
  }

  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& why) const {
    if (mark.is_null()) throw Bad{fmt::format("kubeconfig {}: {}", path_, why)};
    throw Bad{fmt::format("kubeconfig {}:{}: {}", path_, mark.line + 1, why)};
  }

 private:
  [[noreturn]] void fail(const YAML::Node& node, const std::string& why) const {
    fail(node.Mark(), why);
  }

  std::string string(const YAML::Node& node, const std::string& key) const {
    if (node.IsNull()) return {};
    if (!node.IsScalar()) fail(node, key + " is not a text");
    return node.Scalar();
  }

  static std::string names(const YAML::Node& list) {
    std::string out;
    if (list && list.IsSequence()) {
      for (const auto& item : list) {
        if (!item.IsMap() || !item["name"] || !item["name"].IsScalar()) continue;
        out += (out.empty() ? "" : ", ") + item["name"].Scalar();
      }
    }
    return out.empty() ? "there are none" : "there are: " + out;
  }

  /// The mapping under `inner` of the list's item of that name.
  YAML::Node entry(const YAML::Node& root, const char* list_name, const char* inner,
                   const std::string& name) const {
    const YAML::Node list = root[list_name];
    if (list && !list.IsNull() && !list.IsSequence()) {
      fail(list, std::string(list_name) + " is not a list");
    }
    for (const auto& item : list) {
      if (!item.IsMap() || !item["name"] || string(item["name"], "name") != name) continue;
      const YAML::Node found = item[inner];
      if (!found || !found.IsMap()) {
        fail(item, fmt::format("{} \"{}\" has no mapping \"{}\"", list_name, name, inner));
      }
      return found;
    }
    fail(list ? list : root,
         fmt::format("no {} \"{}\" in {} ({})", inner, name, list_name, names(list)));
  }

  bool flag(const YAML::Node& node, const std::string& key) const {
    bool out = false;
    if (!YAML::convert<bool>::decode(node, out)) fail(node, key + " is neither true nor false");
    return out;
  }

  /// A file's name, relative to where the kubeconfig is.
  std::string path_of(const YAML::Node& node, const std::string& key) const {
    const std::string name = string(node, key);
    if (name.empty()) return {};
    return (std::filesystem::path(path_).parent_path() / name).string();
  }

  /// "<key>-data" in base64, or else the file that `key` names; "" for neither.
  std::string data_or_file(const YAML::Node& node, const std::string& key) const {
    const YAML::Node data = node[key + "-data"];
    if (data && !string(data, key + "-data").empty()) {
      std::string decoded = decode_base64(data.Scalar());
      if (decoded.empty()) fail(data, key + "-data is not base64");
      return decoded;
    }
    const YAML::Node file = node[key];
    if (!file) return {};
    const std::string path = path_of(file, key);
    if (path.empty()) return {};
    files_.push_back(path);
    auto text = read_file(path);
    if (!text) fail(file, key + ": " + text.error());
    return std::move(*text);
  }

  void cluster(const YAML::Node& node, ClusterConfig& out) const {
    if (!node["server"]) fail(node, "the cluster has no server");
    out.server = string(node["server"], "server");
    if (node["proxy-url"] && !string(node["proxy-url"], "proxy-url").empty()) {
      fail(node["proxy-url"], "proxy-url is not supported; give a server that is reached directly");
    }
    if (node["tls-server-name"]) {
      out.tls_server_name = string(node["tls-server-name"], "tls-server-name");
    }
    if (node["insecure-skip-tls-verify"]) {
      out.insecure_skip_tls_verify =
          flag(node["insecure-skip-tls-verify"], "insecure-skip-tls-verify");
    }
    out.ca_pem = data_or_file(node, "certificate-authority");
    if (out.insecure_skip_tls_verify && !out.ca_pem.empty()) {
      fail(
          node["insecure-skip-tls-verify"],
          "insecure-skip-tls-verify and a certificate-authority exclude each other; leave one out");
    }
  }

  void user(const YAML::Node& node, ClusterConfig& out) const {
    constexpr const char* kInstead =
        "use a token (kubectl create token <serviceaccount>) or a client certificate";
    for (const char* key : {"exec", "auth-provider"}) {
      if (node[key] && !node[key].IsNull()) {
        fail(node[key], fmt::format("\"{}\" runs another program to log in, which is not "
                                    "supported; {}",
                                    key, kInstead));
      }
    }
    for (const char* key : {"username", "password"}) {
      if (node[key] && !string(node[key], key).empty()) {
        fail(node[key],
             fmt::format("\"{}\": logging in by password is not supported; {}", key, kInstead));
      }
    }
    for (const char* key : {"as", "as-groups", "as-uid", "as-user-extra"}) {
      if (node[key] && !node[key].IsNull()) {
        fail(node[key], fmt::format("\"{}\": impersonation is not supported; {}", key, kInstead));
      }
    }
    if (node["token"]) out.token = string(node["token"], "token");
    if (node["tokenFile"]) out.token_file = path_of(node["tokenFile"], "tokenFile");
    if (!out.token_file.empty()) {
      files_.push_back(out.token_file);
      const auto token = read_file(out.token_file);
      if (!token) fail(node["tokenFile"], "tokenFile: " + token.error());
      if (trimmed(*token).empty()) fail(node["tokenFile"], "tokenFile is empty: " + out.token_file);
      files_.pop_back();  // it is good
      out.token.clear();
    }
    out.client_cert_pem = data_or_file(node, "client-certificate");
    out.client_key_pem = data_or_file(node, "client-key");
    if (out.client_cert_pem.empty() != out.client_key_pem.empty()) {
      fail(node, out.client_key_pem.empty()
                     ? "the user has a client-certificate but no client-key"
                     : "the user has a client-key but no client-certificate");
    }
  }

  std::string path_;
  std::vector<std::string>& files_;
};

}  // namespace

tl::expected<ClusterConfig, std::string> load_kubeconfig(const std::string& path,
                                                         const std::string& context,
                                                         std::vector<std::string>* files) {
  std::vector<std::string> unasked;
  Reader reader(path, files != nullptr ? *files : unasked);
  try {
    try {
      return reader.read(context);
    } catch (const YAML::Exception& error) {
      reader.fail(error.mark, "not YAML: " + error.msg);
    }
  } catch (const Bad& bad) {
    return tl::unexpected(bad.message);
  } catch (const std::exception& error) {
    return tl::unexpected("kubeconfig " + path + ": " + error.what());
  }
}

}  // namespace optipod::kube
