// SPDX-License-Identifier: Apache-2.0
//
// Who may speak with a server, and how: web.config.yml as the Prometheus exporter toolkit defines
// it. The file and those it names are looked at whenever a connection or a request comes, so that a
// rotated certificate or a changed password counts at once.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "common/http/passwords.hpp"

namespace optipod::http {

class TlsServer;

/// What the file says. Never changes; what is read of it stays good while it is held.
struct WebConfig {
  std::shared_ptr<TlsServer> tls;                            ///< null: plain HTTP
  Users users;                                               ///< empty: anybody
  std::vector<std::pair<std::string, std::string>> headers;  ///< added to every reply
};

/// The error says what is wrong, in which file and on which line. `files` becomes what was looked
/// at, in any case.
tl::expected<std::shared_ptr<const WebConfig>, std::string> read_web_config(
    const std::string& path, std::vector<std::string>& files);

/// The file as it is at the moment. Thread-safe.
class WebConfigFile {
 public:
  static tl::expected<std::shared_ptr<WebConfigFile>, std::string> open(const std::string& path);

  /// After a change that cannot be used, what was in use before it; the log says why. TLS cannot be
  /// switched on or off this way: that takes a restart.
  std::shared_ptr<const WebConfig> current();

 private:
  explicit WebConfigFile(std::string path) : path_(std::move(path)) {}
  tl::expected<std::shared_ptr<const WebConfig>, std::string> read();

  const std::string path_;
  std::mutex mutex_;
  std::shared_ptr<const WebConfig> config_;  // these under mutex_
  std::vector<std::string> files_;           ///< that were looked at last
  std::string version_;                      ///< of all of them, then
};

}  // namespace optipod::http
