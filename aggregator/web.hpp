// SPDX-License-Identifier: Apache-2.0
//
// What the aggregator answers: /federate, /nodes, /metrics, /healthz, /readyz and a page for
// people.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "aggregator/federate.hpp"
#include "aggregator/self.hpp"
#include "aggregator/store.hpp"

namespace optipod::http {
class Server;
}

namespace optipod::aggregator {

/// Adds the routes; call before server.listen(). All arguments outlive the server. `ready` may be
/// called from its threads.
void add_routes(http::Server& server, const Store& store, Self& self,
                const FederateOptions& options, const std::function<bool()>& ready);

/// The body of /nodes: {"nodes":[{node, target, up, agent_up, last_scrape, last_sample,
/// age_seconds, last_error, figures…}]}; what is not known is null. Times are Unix seconds.
std::string nodes_json(const Views& views, std::int64_t now_ms);

}  // namespace optipod::aggregator
