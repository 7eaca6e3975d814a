// SPDX-License-Identifier: Apache-2.0
//
// What the aggregator answers: /federate, /nodes, /sd, /query, /update_metrics, /metrics, /healthz,
// /readyz and a page for people.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "aggregator/federate.hpp"
#include "aggregator/pushed.hpp"
#include "aggregator/query.hpp"
#include "aggregator/self.hpp"
#include "aggregator/store.hpp"

namespace optipod::http {
class Server;
}

namespace optipod::aggregator {

/// What the routes serve. All of it outlives the server's handlers; `ready` is called from them.
struct Served {
  const Store& store;
  Self& self;
  Pushed& pushed;
  const QueryProxy& query;
  const FederateOptions& federation;
  std::function<bool()> ready;
};

/// Adds the routes; call before server.listen(). /federate, /query and /nodes are slow routes.
void add_routes(http::Server& server, const Served& served);

/// The body of /nodes: {"nodes":[{node, target, up, agent_up, last_scrape, last_sample,
/// age_seconds, last_error, figures…}], "pushed_nodes":[{node, last_sample, age_seconds, counts of
/// the last second…}]}; what is not known is null. Times are Unix seconds.
std::string nodes_json(const Views& views, const std::vector<Pushed::Node>& pushed,
                       std::int64_t now_ms);

/// The body of /sd, as Prometheus' http_sd takes it: every target with its labels.
std::string sd_json(const Views& views);

}  // namespace optipod::aggregator
