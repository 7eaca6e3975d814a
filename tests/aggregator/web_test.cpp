// SPDX-License-Identifier: Apache-2.0
#include "aggregator/web.hpp"

#include <atomic>
#include <chrono>
#include <string>

#include <nlohmann/json.hpp>

#include "common/http/client.hpp"
#include "common/http/server.hpp"
#include "tests/aggregator/support.hpp"

using namespace optipod;
using namespace optipod::aggregator;

namespace {

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

struct Site {
  Store store;
  Self self;
  FederateOptions options;
  std::atomic<bool> ready = true;
  http::Server server;

  Site() {
    add_routes(server, store, self, options, [this] { return ready.load(); });
    REQUIRE(server.listen("127.0.0.1:0").has_value());
  }
  http::ClientResponse get(const std::string& path) const {
    auto answer = http::get("http://127.0.0.1:" + std::to_string(server.port()) + path);
    INFO((answer ? std::string() : answer.error()));
    REQUIRE(answer.has_value());
    return *answer;
  }
  void publish(const std::string& node, bool up) {
    const std::int64_t now = unix_ms();
    auto view = std::make_shared<TargetView>();
    view->target = std::make_shared<const Target>(*parse_target(node + "=10.0.0.1:9000"));
    view->up = view->agent_up = up;
    view->scraped_ms = now;
    if (up) {
      view->measured_ms = now - 2'000;
      view->scraped = set_of("a 1\n", now, view->target->labels);
      view->figures.cpus = 4;
    } else {
      view->error = "GET http://10.0.0.1:9000/metrics: \xff refused";
    }
    store.publish(view);
  }
};

}  // namespace

TEST_CASE("web: /federate answers what the selectors ask, 400 with the place of a bad one") {
  Site site;
  site.publish("n1", true);
  const auto good = site.get("/federate?match[]=a&match%5B%5D=%7Bnode%3D%22n1%22%7D");
  CHECK(good.status == 200);
  CHECK(good.content_type.starts_with("text/plain; version=0.0.4"));
  CHECK(good.body.starts_with(
      "# TYPE a untyped\na{instance=\"10.0.0.1:9000\",job=\"optipod\",node=\"n1\"} 1 "));
  CHECK(site.get("/federate").body.empty());
  CHECK(site.get("/federate").status == 200);

  const auto bad = site.get("/federate?match[]=a&match[]=a-b");
  CHECK(bad.status == 400);
  CHECK(bad.body.starts_with("1:2: parse error: unexpected \"-\""));
}

TEST_CASE("web: before the first sweep it is not ready, and bad selectors are still bad") {
  Site site;
  site.ready = false;
  CHECK(site.get("/readyz").status == 503);
  CHECK(site.get("/healthz").status == 200);
  CHECK(site.get("/federate?match[]=a").status == 503);
  CHECK(site.get("/federate?match[]=-").status == 400);
  site.ready = true;
  CHECK(site.get("/readyz").status == 200);
  CHECK(site.get("/federate?match[]=a").status == 200);
}

TEST_CASE("web: /nodes says of each node where it is, how old and what is wrong") {
  Site site;
  site.publish("n1", true);
  site.publish("n2", false);
  const auto reply = site.get("/nodes");
  CHECK(reply.content_type == "application/json");
  const auto nodes = nlohmann::json::parse(reply.body).at("nodes");
  REQUIRE(nodes.size() == 2);
  CHECK(nodes[0].at("node") == "n1");
  CHECK(nodes[0].at("target") == "http://10.0.0.1:9000/metrics");
  CHECK(nodes[0].at("up") == true);
  CHECK(nodes[0].at("cpus") == 4);
  CHECK(nodes[0].at("age_seconds").get<double>() >= 2);
  CHECK(nodes[0].at("last_error").is_null());
  CHECK(nodes[1].at("up") == false);
  CHECK(nodes[1].at("age_seconds").is_null());
  CHECK(nodes[1].at("last_sample").is_null());
  CHECK(nodes[1].at("last_error").get<std::string>().find("refused") != std::string::npos);
}

TEST_CASE("web: /metrics counts what was asked, / leads there") {
  Site site;
  site.publish("n1", true);
  site.publish("n2", false);
  site.get("/federate?match[]=a");
  site.get("/federate?match[]=-");
  const std::string page = site.get("/metrics").body;
  for (const char* line :
       {"\noptipod_aggregator_targets_up 1\n", "\noptipod_aggregator_nodes_up 1\n",
        "\noptipod_aggregator_federated_series_total 1\n",
        "\noptipod_aggregator_federation_errors_total 1\n",
        "route=\"/federate\",status=\"400\"} 1\n"}) {
    INFO(line);
    CHECK(page.find(line) != std::string::npos);
  }
  const std::string home = site.get("/").body;
  CHECK(home.find("/nodes") != std::string::npos);
  CHECK(home.find("/metrics") != std::string::npos);
  CHECK(site.get("/nothing").status == 404);
}
