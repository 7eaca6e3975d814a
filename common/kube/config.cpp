// SPDX-License-Identifier: Apache-2.0
#include "common/kube/config.hpp"

#include <cstdlib>

#include <fmt/format.h>

#include "common/config/files.hpp"

namespace optipod::kube {
namespace {

using config::read_file;
using config::trimmed;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

tl::expected<ClusterConfig, std::string> load_in_cluster(const std::string& directory,
                                                         std::vector<std::string>* files) {
  const std::string host = environment("KUBERNETES_SERVICE_HOST");
  const std::string port = environment("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return tl::unexpected(
        std::string("not in a Kubernetes pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT "
                    "are not set; give a kubeconfig file"));
  }
  ClusterConfig out;
  out.source = "service account in " + directory;
  const bool v6 = host.find(':') != std::string::npos;
  out.server = "https://" + (v6 ? "[" + host + "]" : host) + ":" + port;
  constexpr const char* kHint =
      "; does the pod have automountServiceAccountToken: false? Otherwise give a kubeconfig file";
  out.token_file = directory + "/token";
  if (files != nullptr) *files = {directory + "/ca.crt", directory + "/namespace", out.token_file};
  const auto token = read_file(out.token_file);
  if (!token) return tl::unexpected(out.source + ": " + token.error() + kHint);
  if (trimmed(*token).empty()) return tl::unexpected(out.token_file + " is empty" + kHint);
  auto ca = read_file(directory + "/ca.crt");
  if (!ca) return tl::unexpected(out.source + ": " + ca.error() + kHint);
  out.ca_pem = std::move(*ca);
  if (const auto name = read_file(directory + "/namespace"); name && !trimmed(*name).empty()) {
    out.default_namespace = trimmed(*name);
  }
  if (files != nullptr) files->pop_back();  // the token was good
  return out;
}

tl::expected<ClusterConfig, std::string> load_config(const std::string& path,
                                                     const std::string& context,
                                                     std::vector<std::string>* files) {
  if (!path.empty()) return load_kubeconfig(path, context, files);
  const std::string from_environment = environment("KUBECONFIG");
  if (from_environment.empty()) {
    if (!context.empty()) {
      return tl::unexpected("context \"" + context + "\" is in no file; give a kubeconfig file");
    }
    return load_in_cluster(kServiceAccountDirectory, files);
  }
  if (from_environment.find(':') != std::string::npos) {
    return tl::unexpected(
        fmt::format("KUBECONFIG={} lists several files; give one (kubectl config view --flatten "
                    "--minify > file makes one of them)",
                    from_environment));
  }
  return load_kubeconfig(from_environment, context, files);
}

}  // namespace optipod::kube
