// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace optipod::app {

/// Where the Kubernetes API is, and who we are to it; what kube::load_config() takes.
inline void add_kube_options(CLI::App& cli, std::string& kubeconfig, std::string& context,
                             const std::string& group = "OPTIONS") {
  cli.add_option("--kubeconfig", kubeconfig,
                 "Where the API server is and who we are (default: $KUBECONFIG, then the pod's "
                 "service account)")
      ->type_name("FILE")
      ->group(group);
  cli.add_option("--kube-context", context,
                 "Which context of that file (default: its current-context)")
      ->type_name("NAME")
      ->group(group);
}

}  // namespace optipod::app
