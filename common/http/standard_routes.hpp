// SPDX-License-Identifier: Apache-2.0
//
// The pages that every server of the project has.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/http/server.hpp"

namespace optipod::http {

struct Readiness {
  bool ready = true;
  std::string details;  ///< one line; "" says "ready" or "not ready"
  std::string content_type = "text/plain; charset=utf-8";  ///< of the details
};

struct StandardRoutes {
  std::string program;      ///< "optipod-exporter", the landing page's title
  std::string description;  ///< one sentence under it
  /// Appends the exposition served at /metrics. On a server thread; must not block.
  std::function<void(std::string& out)> render_metrics;
  /// Instead of it: answers /metrics itself, by what the request asks for. 200, text format and
  /// gzip are set before.
  Handler serve_metrics = {};
  /// None: always ready.
  std::function<Readiness()> readiness;
  /// Further links of the landing page, as path and explanation.
  std::vector<std::pair<std::string, std::string>> links;
};

/// GET (and HEAD) /metrics, /healthz (200 "ok" while the program lives), /readyz (200 or 503, with
/// the details), and / for people. They are never turned away (RouteOptions::always), so that an
/// overloaded server still says that it lives and what happens to it; one is answered at a time.
void add_standard_routes(Server& server, StandardRoutes routes);

}  // namespace optipod::http
