// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace optipod::app {

/// Where the Kubernetes API is, and who we are to it; what kube::load_config() takes. `group`: the
/// heading in --help; "": that of all other options.
inline void add_kube_options(CLI::App& cli, std::string& kubeconfig, std::string& context,
                             const std::string& group = {}) {
  CLI::Option* const file =
      cli.add_option("--kubeconfig", kubeconfig,
                     "Where the API server is and who we are (default: $KUBECONFIG, then the pod's "
                     "service account)")
          ->type_name("FILE");
  CLI::Option* const name =
      cli.add_option("--kube-context", context,
                     "Which context of that file (default: its current-context)")
          ->type_name("NAME");
  if (group.empty()) return;
  file->group(group);
  name->group(group);
}

}  // namespace optipod::app
