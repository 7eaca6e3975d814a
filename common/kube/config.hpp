// SPDX-License-Identifier: Apache-2.0
//
// Where a cluster's API server is, and who we are to it.
#pragma once

#include <string>
#include <vector>

#include <tl/expected.hpp>

namespace optipod::kube {

inline constexpr const char* kServiceAccountDirectory =
    "/var/run/secrets/kubernetes.io/serviceaccount";

struct ClusterConfig {
  std::string server;                           ///< http[s]://host[:port][/prefix]
  std::string ca_pem;                           ///< whom to trust; "": the system's certificates
  std::string client_cert_pem, client_key_pem;  ///< both or none
  std::string token;                            ///< bearer token
  std::string token_file;       ///< instead of `token`: read again whenever the file changes
  std::string tls_server_name;  ///< name the server must prove; "": the host of `server`
  bool insecure_skip_tls_verify = false;
  std::string default_namespace = "default";
  std::string source;  ///< for messages: "kubeconfig /root/.kube/config, context kind"
};

/// Reads one kubeconfig file. `context` "" takes its current-context. Certificates are read now;
/// relative paths start at the kubeconfig's folder. Users that need a program to log in (exec,
/// auth-provider) or a password are refused. The error names the file, the line or key, and what to
/// do about it. `files`, unless null, becomes what has to change for another result, in any case: a
/// token file, which is read again by itself, only when it is what is wrong.
tl::expected<ClusterConfig, std::string> load_kubeconfig(const std::string& path,
                                                         const std::string& context = {},
                                                         std::vector<std::string>* files = nullptr);

/// What Kubernetes gives every pod: KUBERNETES_SERVICE_HOST and _PORT in the environment, `token`,
/// `ca.crt` and `namespace` in `directory`.
tl::expected<ClusterConfig, std::string> load_in_cluster(
    const std::string& directory = kServiceAccountDirectory,
    std::vector<std::string>* files = nullptr);

/// The usual order: `path` when it is given, else $KUBECONFIG (one file), else load_in_cluster().
/// ~/.kube/config is never taken unasked: a program that runs unattended should be told.
tl::expected<ClusterConfig, std::string> load_config(const std::string& path = {},
                                                     const std::string& context = {},
                                                     std::vector<std::string>* files = nullptr);

}  // namespace optipod::kube
