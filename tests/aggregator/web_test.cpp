// SPDX-License-Identifier: Apache-2.0
#include "aggregator/web.hpp"

#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <regex>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>

#include "aggregator/derived_series.hpp"
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
  Pushed pushed;
  std::unique_ptr<QueryProxy> query;
  FederateOptions options;
  std::atomic<bool> ready = true;
  http::Server server;

  explicit Site(const std::string& prometheus = {})
      : query(QueryProxy::make(prometheus, {.timeout = std::chrono::seconds(5)}).value()) {
    add_routes(server, {store, self, pushed, *query, options, [this] { return ready.load(); }});
    REQUIRE(server.listen("127.0.0.1:0").has_value());
  }
  ~Site() { server.stop(); }  // before what it serves
  http::ClientResponse post(const std::string& path, const std::string& body,
                            const std::string& type = "application/json") const {
    auto answer =
        http::post("http://127.0.0.1:" + std::to_string(server.port()) + path, body, type);
    REQUIRE(answer.has_value());
    return *answer;
  }
  http::ClientResponse get(const std::string& path) const {
    auto answer = http::get("http://127.0.0.1:" + std::to_string(server.port()) + path);
    INFO((answer ? std::string() : answer.error().what));
    REQUIRE(answer.has_value());
    return *answer;
  }
  void publish(const std::string& node, bool up) {
    publish(*parse_target(node + "=10.0.0.1:9000"), up);
  }
  void publish(const Target& target, bool up) {
    const std::int64_t now = unix_ms();
    auto view = std::make_shared<TargetView>();
    view->target = std::make_shared<const Target>(target);
    view->up = view->agent_up = up;
    view->scraped_ms = now;
    if (up) {
      Derived figures;
      figures.cpus = 4;
      view->measured_ms = now - 2'000;
      view->scraped = set_of("a 1\n", now, view->target->labels);
      view->derived = DerivedSeries(target.node).make(figures, true, now - 2'000, now);
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
  for (const char* query :
       {"match[]=%zz", "match[]=a%00", "match[]=a&match[]=%", "x=%z&match[]=a"}) {
    INFO(query);
    const auto malformed = site.get(std::string("/federate?") + query);
    CHECK(malformed.status == 400);
    CHECK(malformed.body.find("escape") != std::string::npos);
  }
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
        "route=\"/federate\",status=\"400\"} 1\n",
        "\noptipod_aggregator_http_requests_active{pool=\"normal\"} 0\n",
        "\noptipod_aggregator_http_requests_active{pool=\"slow\"} ",
        "\noptipod_aggregator_http_requests_queued{pool=\"slow\"} 0\n",
        "_http_requests_turned_away_total{cause=\"deadline\",route=\"/federate\"} 0\n",
        "\noptipod_aggregator_pushed_nodes 0\n"}) {
    INFO(line);
    CHECK(page.find(line) != std::string::npos);
  }
  const std::string home = site.get("/").body;
  CHECK(home.find("/nodes") != std::string::npos);
  CHECK(home.find("/metrics") != std::string::npos);
  CHECK(site.get("/nothing").status == 404);
}

TEST_CASE(
    "web: what the first OptiPod's profilers send is served under proper names, with its age") {
  Site site;
  const auto reply = site.post("/update_metrics",
                               R"({"node_id":"old-1","mem_bytes_allocated":4096,"page_faults":7,)"
                               R"("ctx_switches_forced":3,"fs_read_size_kb":2})");
  CHECK(reply.status == 200);
  CHECK(nlohmann::json::parse(reply.body) == nlohmann::json{{"status", "Metrics updated"}});

  const std::string body = site.get("/federate?match[]=%7Bnode%3D%22old-1%22%7D").body;
  for (
      const char* line :
      {"optipod_pushed_memory_allocated_bytes_per_second{node=\"old-1\",instance=\"\"} 4096 ",
       "optipod_pushed_filesystem_read_bytes_per_second{node=\"old-1\",instance=\"\"} 2000 ",
       "optipod_pushed_filesystem_writes_per_second{node=\"old-1\",instance=\"\"} 0 ",
       R"(optipod_pushed_context_switches_per_second{kind="involuntary",node="old-1",instance=""} 3 )",
       "optipod_pushed_age_seconds{node=\"old-1\",instance=\"\"} "}) {
    INFO(line);
    CHECK(body.find(line) != std::string::npos);
  }
  const auto nodes = nlohmann::json::parse(site.get("/nodes").body).at("pushed_nodes");
  REQUIRE(nodes.size() == 1);
  CHECK(nodes[0].at("node") == "old-1");
  CHECK(nodes[0].at("page_faults") == 7);
  CHECK(nodes[0].at("age_seconds").get<double>() >= 0);

  std::ifstream file(METRICS_PAGE);
  std::stringstream documented;
  documented << file.rdbuf();
  const std::string page = site.get("/metrics").body;
  CHECK(page.find("\noptipod_aggregator_pushed_nodes 1\n") != std::string::npos);
  const std::regex family("# TYPE (optipod_pushed_\\w+) gauge\n");
  std::size_t families = 0;
  for (std::sregex_iterator at(page.begin(), page.end(), family), end; at != end; ++at) {
    INFO((*at)[1]);
    CHECK(documented.str().find("| `" + (*at)[1].str() + "` |") != std::string::npos);
    CHECK(page.find("# HELP " + (*at)[1].str() + " ") != std::string::npos);
    ++families;
  }
  CHECK(families == 8);
}

TEST_CASE("pushed: a page of them has every node's time, and no family that nobody sent") {
  Pushed pushed;
  const auto rendered = [&](std::int64_t now) {
    std::string out;
    pushed.render(now, out);
    return out;
  };
  CHECK(rendered(5).empty());
  REQUIRE(pushed.update(R"({"node_id":"a\"","fs_write_size_kb":3})", 1'000'000).has_value());
  REQUIRE(pushed.update(R"({"node_id":"b","ctx_switches_graceful":2})", 1'010'000).has_value());
  const std::string page = rendered(1'015'000);
  for (const char* line :
       {"optipod_pushed_filesystem_written_bytes_per_second{node=\"a\\\"\"} 3000 1000000\n",
        "# TYPE optipod_pushed_context_switches_per_second gauge\n"
        "optipod_pushed_context_switches_per_second{kind=\"voluntary\",node=\"a\\\"\"} 0 1000000\n"
        "optipod_pushed_context_switches_per_second{kind=\"voluntary\",node=\"b\"} 2 1010000\n"
        "optipod_pushed_context_switches_per_second{kind=\"involuntary\",node=\"a\\\"\"} 0 "
        "1000000\n",
        "optipod_pushed_age_seconds{node=\"a\\\"\"} 15 1015000\n"
        "optipod_pushed_age_seconds{node=\"b\"} 5 1015000\n"}) {
    INFO(line);
    CHECK(page.find(line) != std::string::npos);
  }
  const std::string old = rendered(1'300'000);
  CHECK(old ==
        "# HELP optipod_pushed_age_seconds Time since the node last sent something.\n"
        "# TYPE optipod_pushed_age_seconds gauge\n"
        "optipod_pushed_age_seconds{node=\"a\\\"\"} 300 1300000\n"
        "optipod_pushed_age_seconds{node=\"b\"} 290 1300000\n");
}

TEST_CASE("web: an update that is none is refused with what is wrong") {
  Site site;
  for (const auto& [body, says] : std::vector<std::pair<std::string, std::string>>{
           {"", "no JSON object"},
           {"[]", "no JSON object"},
           {R"({"page_faults":1})", "node_id"},
           {R"({"node_id":""})", "node_id"},
           {R"({"node_id":7})", "node_id"},
           {R"({"node_id":"n","page_faults":"many"})", "page_faults"},
           {R"({"node_id":"n","fs_read_count":-1})", "fs_read_count"},
           {R"({"node_id":")" + std::string(300, 'n') + R"("})", "300 bytes"}}) {
    const auto reply = site.post("/update_metrics", body);
    INFO(body.substr(0, 100) << " -> " << reply.body);
    CHECK(reply.status == 400);
    CHECK(nlohmann::json::parse(reply.body).at("error").get<std::string>().find(says) !=
          std::string::npos);
  }
  CHECK(site.get("/update_metrics").status == 405);
}

TEST_CASE("pushed: values grow old, nodes are forgotten, and there is an end to them") {
  Pushed pushed;
  const auto push = [&](const std::string& node, std::int64_t now) {
    return pushed.update(R"({"node_id":")" + node + R"("})", now);
  };
  REQUIRE(push("n", 1'000'000).has_value());
  const std::vector<Selector> all{*Selector::parse("{node=\"n\"}")};
  const auto count = [&](std::int64_t now) {
    std::string out;
    return federate(Views{}, all, now, {}, out, pushed.series(now));
  };
  CHECK(count(1'000'000) == 9);
  CHECK(count(1'000'000 + Pushed::kMaxAgeMs) == 9);
  CHECK(count(1'000'001 + Pushed::kMaxAgeMs) == 1);  // its age only
  CHECK(count(1'000'001 + Pushed::kForgottenMs) == 0);

  for (std::size_t i = 1; i < Pushed::kMaxNodes; ++i) {
    REQUIRE(push("m" + std::to_string(i), 2'000'000).has_value());
  }
  CHECK(push("last", 2'000'000).has_value());  // in the place of the one that is too old
  const auto full = push("one more", 2'000'000);
  REQUIRE_FALSE(full.has_value());
  CHECK(full.error().status == 503);
  CHECK(push("last", 2'000'001).has_value());
}

TEST_CASE("web: /query without a Prometheus says which flag is missing") {
  Site site;
  CHECK(site.get("/query").status == 400);
  CHECK(site.get("/query").body.find("'q'") != std::string::npos);
  const auto reply = site.get("/query?q=up");
  CHECK(reply.status == 501);
  CHECK(nlohmann::json::parse(reply.body).at("error").get<std::string>().find("--prometheus-url") !=
        std::string::npos);
  CHECK_FALSE(QueryProxy::make("ftp://x").has_value());
}

TEST_CASE("web: /query passes questions and answers on as they are") {
  http::Server prometheus;
  std::atomic<int> authorized = 0;
  const auto echo = [&](const http::Request& request, http::Response& response) {
    authorized += request.header("Authorization").empty() ? 0 : 1;
    response.status = request.param("query") == "bad" ? 422 : 200;
    response.content_type = "application/json";
    response.body = std::string(request.method) + " " + std::string(request.path) + " " +
                    std::string(request.query) + "\n" +
                    std::to_string(request.body.size() > 4000 ? 1 : 0);
  };
  for (const char* path : {"/p/api/v1/query", "/p/api/v1/query_range"}) {
    prometheus.route("GET", path, echo);
    prometheus.route("POST", path, echo);
  }
  REQUIRE(prometheus.listen("127.0.0.1:0").has_value());
  Site site("http://127.0.0.1:" + std::to_string(prometheus.port()) + "/p");

  CHECK(site.get("/query?q=up%7Ba%3D%22b%22%7D&time=5").body ==
        "GET /p/api/v1/query query=up%7Ba%3D%22b%22%7D&time=5\n0");
  CHECK(site.get("/query?query=up&start=1&end=2").body ==
        "GET /p/api/v1/query_range query=up&start=1&end=2&step=15s\n0");
  CHECK(site.get("/query?q=up&start=1&end=2&step=1m&start=9").body ==
        "GET /p/api/v1/query_range query=up&start=1&end=2&step=1m\n0");
  CHECK(site.get("/query?q=up&start=1").status == 400);
  CHECK(site.get("/query?q=up&time=%zz").status == 400);
  CHECK(site.post("/query", "q=up%", "application/x-www-form-urlencoded").status == 400);
  const auto bad = site.get("/query?q=bad");
  CHECK(bad.status == 422);
  CHECK(bad.content_type == "application/json");
  CHECK(site.post("/query", "q=up&time=7", "application/x-www-form-urlencoded").body ==
        "GET /p/api/v1/query query=up&time=7\n0");
  CHECK(site.post("/query", "q=" + std::string(5000, 'x'), "application/x-www-form-urlencoded")
            .body == "POST /p/api/v1/query \n1");
  CHECK(authorized == 0);

  site.query->stop();
  CHECK(site.get("/query?q=up").status == 502);
}

TEST_CASE("web: a Prometheus that is not there is a 502 that says so") {
  Site site("http://127.0.0.1:1");
  const auto reply = site.get("/query?q=up");
  CHECK(reply.status == 502);
  CHECK(reply.body.find("--prometheus-url") != std::string::npos);
}

TEST_CASE("web: /sd lists the targets as http_sd takes them") {
  Site site;
  site.publish("n1", true);
  const auto groups = nlohmann::json::parse(site.get("/sd").body);
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].at("targets") == nlohmann::json{"10.0.0.1:9000"});
  CHECK(groups[0].at("labels").at("node") == "n1");
  CHECK(groups[0].at("labels").at("__metrics_path__") == "/metrics");
}

TEST_CASE("web: who reads /sd asks the targets as we do") {
  const auto target = make_target("10.0.0.7:9100", {{"__scheme__", "https"},
                                                    {"__metrics_path__", "/node"},
                                                    {"__scrape_interval__", "5s"},
                                                    {"__scrape_timeout__", "1500ms"},
                                                    {"node", "n7"},
                                                    {"rack", "r1"}});
  REQUIRE(target);
  Site site;
  site.publish(*target, true);
  const auto read = parse_file_sd(site.get("/sd").body, FileFormat::kJson);
  REQUIRE(read);
  CHECK(*read == std::vector{*target});
}
