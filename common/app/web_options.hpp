// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace optipod::app {

/// How every server is reached; what http::Server::listen() takes. `group`: the heading in --help;
/// "": that of all other options.
inline void add_web_options(CLI::App& cli, std::string& listen_address,
                            std::string& web_config_file, const std::string& group = {}) {
  CLI::Option* const listen = cli.add_option("--web.listen-address", listen_address,
                                             "Address to serve on, HOST:PORT or :PORT")
                                  ->type_name("ADDRESS")
                                  ->capture_default_str();
  CLI::Option* const config =
      cli.add_option(
             "--web.config.file", web_config_file,
             "TLS, basic authentication and headers, as the Prometheus exporter toolkit defines "
             "its web.config.yml; re-read when it changes")
          ->type_name("FILE");
  if (group.empty()) return;
  listen->group(group);
  config->group(group);
}

}  // namespace optipod::app
