// SPDX-License-Identifier: Apache-2.0
// The webhook over HTTP, fed by a federate endpoint in this process; and threads against refreshes.
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/http/client.hpp"
#include "extender/clock.hpp"
#include "extender/cluster/source.hpp"
#include "extender/policies/registry.hpp"
#include "extender/service.hpp"
#include "tests/extender/support.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using nlohmann::json;

/// An aggregator that answers what it is told.
struct Federate {
  Federate() {
    server.route("GET", "/federate",
                 [this](const http::Request& request, http::Response& response) {
                   const std::lock_guard lock(mutex);
                   asked = request.param("match[]");
                   response.status = status;
                   response.body = body;
                 });
    REQUIRE(server.listen("127.0.0.1:0"));
  }
  ~Federate() { server.stop(); }
  void set(std::string text, unsigned code = 200) {
    const std::lock_guard lock(mutex);
    body = std::move(text);
    status = code;
  }
  void set(const test::Cluster& cluster) { set(test::federate(cluster, unix_ms())); }

  http::Server server;
  std::mutex mutex;
  std::string body, asked;
  unsigned status = 200;
};

struct Extender {
  explicit Extender(ServiceOptions options = {}, PolicyParameters parameters = {}) {
    auto policies = make_policies(parameters);
    std::vector<WeightedPolicy> combination{{policies[0].get(), 1}};
    service =
        std::make_unique<Service>(options, std::move(policies), combination, current, metrics);
    SourceOptions source_options;
    source_options.url = "http://127.0.0.1:" + std::to_string(federate.server.port()) + "/";
    source = std::make_unique<MetricsSource>(source_options, current, metrics);
    service->add_routes(server);
    REQUIRE(server.listen("127.0.0.1:0"));
  }
  ~Extender() { server.stop(); }

  [[nodiscard]] std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(server.port()) + path;
  }
  http::ClientResponse post(const std::string& path, const std::string& body) const {
    const auto reply = http::post(url(path), body, "application/json");
    REQUIRE(reply);
    return *reply;
  }
  http::ClientResponse get(const std::string& path) const {
    const auto reply = http::get(url(path));
    REQUIRE(reply);
    return *reply;
  }
  double metric(const std::string& series) const {
    const std::string page = get("/metrics").body;
    const std::size_t at = page.find("\n" + series + " ");
    INFO(series);
    REQUIRE(at != std::string::npos);
    return std::stod(page.substr(at + series.size() + 2));
  }

  Federate federate;
  CurrentSnapshot current;
  Metrics metrics;
  std::unique_ptr<Service> service;
  std::unique_ptr<MetricsSource> source;
  http::Server server{http::ServerLimits{.max_body_bytes = 1024 * 1024}, 2};
};

const test::Cluster kTwo{
    {"calm",
     {{Signal::kCpus, 4}, {Signal::kCpuUtilization15s, 0.1}, {Signal::kRunqueueWait15s, 0}}},
    {"busy", {{Signal::kCpus, 4}, {Signal::kCpuUtilization15s, 1}, {Signal::kRunqueueWait15s, 4}}}};

std::string request(const std::string& names, const std::string& name = "p") {
  return R"({"Pod":{"metadata":{"name":")" + name +
         R"(","namespace":"ns","uid":"u"}},"Nodes":null,"NodeNames":)" + names + "}";
}

TEST_CASE("measurements become scores, and the score its explanation") {
  Extender e;
  e.federate.set(kTwo);
  e.source->refresh();
  CHECK(e.federate.asked == R"({__name__=~"optipod:node_.*"})");
  const auto reply = e.post("/prioritize", request(R"(["busy","calm"])"));
  CHECK(reply.status == 200);
  CHECK(reply.content_type == "application/json");
  CHECK(reply.body == R"([{"Host":"calm","Score":10}])");
  CHECK(e.post("/policies/template/prioritize", request(R"(["busy","calm"])")).body ==
        R"([{"Host":"calm","Score":10}])");
  CHECK(e.post("/filter", request(R"(["busy","calm"])")).body ==
        R"({"Nodes":null,"NodeNames":["busy","calm"],"FailedNodes":{},)"
        R"("FailedAndUnresolvableNodes":{},"Error":""})");

  const auto why = json::parse(e.get("/explain?pod=ns/p&limit=2").body)["decisions"];
  REQUIRE(why.size() == 2);
  CHECK(why[1]["weights"].contains("contention"));
  CHECK(why[1]["candidates"][0]["node"] == "calm");
  CHECK(why[1]["candidates"][1]["policies"][0]["losses"][0]["loss"].get<double>() > 0.7);
  CHECK(e.get("/explain?limit=x").status == 400);

  CHECK(e.metric(R"(optipod_extender_requests_total{code="200",verb="prioritize"})") == 2);
  CHECK(e.metric(R"(optipod_extender_nodes{state="fresh"})") == 2);
  CHECK(e.metric(R"(optipod_extender_hosts_total{state="omitted"})") == 2);
  const auto ready = e.get("/readyz");
  CHECK(ready.status == 200);
  CHECK(json::parse(ready.body)["nodes_fresh"] == 2);
}

TEST_CASE("without measurements every node is alike, and the extender is ready") {
  Extender e;
  CHECK(e.get("/readyz").status == 200);
  CHECK(e.post("/prioritize", request(R"(["a","b"])")).body == "[]");
  CHECK(e.post("/filter", request(R"(["a"])")).status == 200);
  CHECK(e.get("/healthz").status == 200);
  CHECK(e.get("/").status == 200);
}

TEST_CASE("a source that fails leaves the last measurements standing") {
  Extender e;
  e.federate.set(kTwo);
  e.source->refresh();
  const auto before = e.current.get();
  e.federate.set("broken{", 200);
  e.source->refresh();
  e.federate.set("down", 503);
  e.source->refresh();
  CHECK(e.current.get() == before);
  CHECK(e.post("/prioritize", request(R"(["busy","calm"])")).body ==
        R"([{"Host":"calm","Score":10}])");
  CHECK(e.metric(R"(optipod_extender_refreshes_total{result="syntax"})") == 1);
  CHECK(e.metric(R"(optipod_extender_refreshes_total{result="status"})") == 1);
  e.federate.set(test::Cluster{});
  e.source->refresh();  // an aggregator that has just started knows nobody yet
  CHECK(e.current.get()->size() == 2);
}

TEST_CASE("filter rejects only where it is told to") {
  PolicyParameters parameters;
  parameters.contention.reject_above = 0.7;
  Extender e({}, parameters);
  e.federate.set(kTwo);
  e.source->refresh();
  const auto reply = json::parse(e.post("/filter", request(R"(["busy","calm"])")).body);
  CHECK(reply["NodeNames"] == json::array({"calm"}));
  CHECK(reply["FailedNodes"] == json::object());
  CHECK(reply["FailedAndUnresolvableNodes"]["busy"] == "optipod: too much contention measured");
  CHECK(
      json::parse(e.post("/policies/template/filter", request(R"(["busy"])")).body)["NodeNames"] ==
      json::array({"busy"}));
}

TEST_CASE("whole Node objects are refused with a reason that reaches the user") {
  Extender e;
  const std::string full =
      R"({"Pod":{},"Nodes":{"metadata":{},"items":[{"metadata":{"name":"a"}}]},"NodeNames":null})";
  const auto filter = e.post("/filter", full);
  CHECK(filter.status == 200);  // a body is read with 200 only
  CHECK(json::parse(filter.body)["Error"].get<std::string>().find("nodeCacheCapable: true") !=
        std::string::npos);
  const auto prioritize = e.post("/prioritize", full);
  CHECK(prioritize.status == 200);
  CHECK(prioritize.body == "[]");
  CHECK(e.metric(R"(optipod_extender_decode_errors_total{cause="nodes_not_names"})") == 2);
}

TEST_CASE("bad bodies get 400 and nothing else, at every verb; the next request is served") {
  Extender e;
  e.federate.set(kTwo);
  e.source->refresh();
  const std::vector<std::string> bad{"",
                                     "{",
                                     "null",
                                     "[1]",
                                     "{\"NodeNames\":[1]}",
                                     std::string(100'000, '['),
                                     R"({"Pod":)" + std::string(100'000, '[') +
                                         std::string(100'000, ']') + R"(,"NodeNames":["a"]})",
                                     std::string("{\"NodeNames\":[\"a\0\"]}", 20),
                                     "{\"NodeNames\":[\"\xff\"]}"};
  for (const std::string path :
       {"/filter", "/prioritize", "/policies/contention/filter", "/policies/template/prioritize"}) {
    for (const std::string& body : bad) {
      INFO(path << " " << body.substr(0, 40));
      const auto reply = e.post(path, body);
      CHECK(reply.status == 400);
      CHECK(reply.body.empty());
    }
    const auto huge =
        http::post(e.url(path), std::string(2 * 1024 * 1024, ' '), "application/json");
    if (huge) CHECK(huge->status == 413);  // or the connection is gone: the rest was not read
    CHECK(e.post(path, request(R"(["busy","calm"])")).status == 200);
  }
  CHECK(e.metric(R"(optipod_extender_decode_errors_total{cause="syntax"})") > 0);
  CHECK(e.metric(R"(optipod_extender_decode_errors_total{cause="too_deep"})") > 0);
  CHECK(e.get("/filter").status == 405);
  CHECK(e.post("/policies/absent/filter", "{}").status == 404);
}

TEST_CASE("requests, refreshes, explanations and scrapes at once") {
  Extender e;
  e.federate.set(kTwo);
  e.source->refresh();
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      const std::string body =
          request(R"(["busy","calm","new"])", std::string(1, static_cast<char>(97 + t)));
      while (!stop) {
        const auto reply = http::post(e.url(t == 2 ? "/filter" : "/prioritize"), body, "");
        if (reply && reply->status == 200 && json::accept(reply->body)) ++answered;
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      const auto why = http::get(e.url("/explain?limit=5"));
      const auto page = http::get(e.url("/metrics"));
      if (why && json::accept(why->body) && page && page->status == 200) ++answered;
    }
  });
  for (int i = 0; i < 40; ++i) {
    auto cluster = kTwo;
    if (i % 2 == 0) cluster[std::string("node-").append(std::to_string(i))] = {{Signal::kCpus, 2}};
    e.federate.set(cluster);
    e.source->refresh();
  }
  for (int i = 0; i < 400 && answered < 50; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(answered >= 50);
  CHECK(e.post("/prioritize", request(R"(["busy","calm"])")).body ==
        R"([{"Host":"calm","Score":10}])");
}

}  // namespace
}  // namespace optipod::extender
