// SPDX-License-Identifier: Apache-2.0
// The webhook over HTTP, fed by a federate endpoint in this process; and threads against refreshes.
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "extender/feeds/measurements.hpp"
#include "tests/extender/webhook.hpp"

namespace optipod::extender {
namespace {

using nlohmann::json;
using test::Extender;
using test::kTwo;
using test::request;

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

TEST_CASE("measurements become scores, and the score its explanation") {
  Extender e;
  e.measure(kTwo);
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
  CHECK(why[1]["candidates"][1]["policies"][0]["terms"]["cpu_loss"].get<double>() > 0.7);
  CHECK(e.get("/explain?limit=x").status == 400);

  CHECK(e.metric(R"(optipod_extender_requests_total{code="200",verb="prioritize"})") == 2);
  CHECK(e.metric(R"(optipod_extender_nodes{state="fresh"})") == 2);
  CHECK(e.metric(R"(optipod_extender_hosts_total{state="omitted"})") == 2);
  const auto ready = e.get("/readyz");
  CHECK(ready.status == 200);
  CHECK(ready.content_type == "application/json");
  CHECK(json::parse(ready.body)["nodes_fresh"] == 2);
}

TEST_CASE("rows come into the order of the requests, and scores stay as they are") {
  Extender e;
  test::Cluster cluster;
  std::string last_first;
  for (int i = 0; i < 100; ++i) {
    const std::string name = fmt::format("node-{:02}", i);
    cluster[name] = {{Signal::kCpus, 4}, {Signal::kCpuUtilization15s, i / 100.0}};
    last_first = fmt::format(R"("{}"{}{})", name, i == 0 ? "" : ",", last_first);
  }
  e.measure(cluster);
  const std::string body = request("[" + last_first + "]");
  const std::string before = e.post("/prioritize", body).body;
  CHECK(e.current->get()->snapshot->nodes().name(0) == "node-00");
  e.publisher->refresh(unix_ms());
  CHECK(e.current->get()->snapshot->nodes().name(0) == "node-99");
  CHECK(e.post("/prioritize", body).body == before);
  CHECK(before.find("node-00") != std::string::npos);
}

TEST_CASE("without measurements every node is alike, and the extender is ready") {
  Extender e;
  CHECK(e.get("/readyz").status == 200);
  CHECK(e.post("/prioritize", request(R"(["a","b"])")).body == "[]");
  CHECK(e.post("/filter", request(R"(["a"])")).status == 200);
  CHECK(e.get("/healthz").status == 200);
  CHECK(e.get("/").status == 200);
}

template <class Condition>
void wait_until(Condition condition) {
  for (int i = 0; i < 1'000 && !condition(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  REQUIRE(condition());
}

TEST_CASE("a source that fails leaves the last measurements standing") {
  Extender e;
  Federate federate;
  federate.set(kTwo);
  SourceOptions options;
  options.url = "http://127.0.0.1:" + std::to_string(federate.server.port()) + "/";
  options.interval = std::chrono::milliseconds(10);
  options.match = measurements_match();
  const MeasurementsFeed feed(options, *e.publisher, e.metrics);
  const auto refreshes = [&](const std::string& result) {
    return e.metric("optipod_extender_refreshes_total{result=\"" + result + "\"}");
  };
  wait_until([&] { return e.current->get()->snapshot->size() == 2; });
  federate.set("broken{", 200);
  wait_until([&] { return refreshes("syntax") > 0; });
  federate.set("down", 503);
  wait_until([&] { return refreshes("status") > 0; });
  CHECK(e.post("/prioritize", request(R"(["busy","calm"])")).body ==
        R"([{"Host":"calm","Score":10}])");
  const double before = refreshes("ok");
  federate.set(test::Cluster{});  // an aggregator that has just started knows nobody yet
  wait_until([&] { return refreshes("ok") > before; });
  CHECK(e.current->get()->snapshot->size() == 2);
  {
    const std::lock_guard lock(federate.mutex);
    CHECK(federate.asked.find(R"({__name__=~"optipod:node_(cpus:last|cpu_utilization:mean_15s|)") ==
          0);
    CHECK(federate.asked.ends_with("|up:last)\"}"));
  }
}

TEST_CASE("a decision is booked, and what the watch then shows stands in its record") {
  Extender e;
  auto cluster = kTwo;
  cluster["calm2"] = cluster["calm"];
  e.measure(cluster);
  const auto ask = [&](const std::string& uid) {
    return e
        .post("/prioritize",
              R"({"Pod":{"metadata":{"name":"p","namespace":"ns","uid":")" + uid +
                  R"("},"spec":{"containers":[{"resources":{"requests":{"cpu":"1"}}}]}},)"
                  R"("Nodes":null,"NodeNames":["busy","calm","calm2"]})")
        .body;
  };
  CHECK(ask("u1") == R"([{"Host":"calm","Score":10},{"Host":"calm2","Score":10}])");
  CHECK(e.ledger.pods() == 1);
  wire::Pod bound;
  bound.uid = "u1";
  bound.node_name = "calm";
  bound.requests.amount = {1, 0, 1};
  e.state.pod(bound);
  const auto next = json::parse(ask("u2"));
  REQUIRE(next.size() == 2);
  CHECK(next[0]["Score"] < next[1]["Score"]);  // calm has one on its way, calm2 none
  const auto why = json::parse(e.get("/explain?pod=u1").body)["decisions"][0];
  CHECK(why["bound"]["node"] == "calm");
  CHECK(why["bound"]["our_first_choice"] == true);
  CHECK(e.metric("optipod_extender_booked_pods") == 2);

  Extender off(AnswerOptions{.booking = false});
  off.measure(cluster);
  off.post("/prioritize", request(R"(["busy","calm"])"));
  CHECK(off.ledger.pods() == 0);
}

TEST_CASE("what a pod says of itself counts, and what it says wrongly is named") {
  Extender e;
  e.measure(kTwo);
  const auto ask = [&](const std::string& path, const std::string& annotations) {
    return e
        .post(path, R"({"Pod":{"metadata":{"name":"p","namespace":"ns","uid":"u",)"
                    R"("annotations":{)" +
                        annotations + R"(}}},"Nodes":null,"NodeNames":["busy","calm"]})")
        .body;
  };
  CHECK(ask("/prioritize", R"("optipod.dev/profile":"none")") == "[]");
  CHECK(ask("/prioritize", R"("optipod.dev/policy":"template")") ==
        R"([{"Host":"calm","Score":10}])");
  const auto record = [&] { return json::parse(e.get("/explain").body)["decisions"][0]; };
  CHECK(record()["weights"] == json({{"template", 1}}));
  ask("/prioritize", R"("optipod.dev/policy":"nonsense")");
  CHECK(record()["weights"] == json({{"contention", 1}}));
  CHECK(record()["problems"][0].get<std::string>().find("'nonsense'") != std::string::npos);
  ask("/policies/contention/prioritize", R"("optipod.dev/policy":"template")");
  CHECK(record()["weights"] == json({{"contention", 1}}));  // the URL says which
  CHECK(e.metric("optipod_extender_annotation_problems_total") == 1);
}

TEST_CASE("preemption: candidates pass by UID, those without victims or rejected do not") {
  PolicyParameters parameters;
  parameters.contention.reject_above = 0.7;
  Extender e({}, parameters);
  e.measure(kTwo);
  const std::string candidates =
      R"({"Pod":{"metadata":{"uid":"u"}},"NodeNameToMetaVictims":{"busy":{"Pods":[{"UID":"1"}],)"
      R"("NumPDBViolations":0},"calm":{"Pods":[{"UID":"2"},{"UID":"3"}],"NumPDBViolations":1},)"
      R"("empty":{"Pods":[],"NumPDBViolations":0},"null":null}})";
  CHECK(e.post("/preempt", candidates).body ==
        R"({"NodeNameToMetaVictims":{"calm":{"Pods":[{"UID":"2"},{"UID":"3"}],)"
        R"("NumPDBViolations":1}}})");
  const auto all = json::parse(e.post("/policies/template/preempt", candidates).body);
  CHECK(all["NodeNameToMetaVictims"].size() == 2);  // template rejects nobody
  CHECK(e.post("/preempt", R"({"Pod":{},"NodeNameToVictims":null})").body ==
        R"({"NodeNameToMetaVictims":{}})");
}

TEST_CASE("the answer of an extender without time changes nothing about the scheduler's own") {
  PolicyParameters parameters;
  parameters.contention.reject_above = 0.7;
  Extender e({}, parameters);
  e.measure(kTwo);
  const auto neutral = [&](Verb verb, const std::string& body) {
    std::string padded = body;
    padded.append(http::kBodyPadding, ' ');
    std::string out;
    const auto refusal =
        e.answers->neutral(verb, std::string_view(padded).substr(0, body.size()), out);
    return refusal ? "refused: " + refusal->what : out;
  };
  CHECK(neutral(Verb::kPrioritize, request(R"(["busy","calm"])")) == "[]");
  CHECK(neutral(Verb::kPrioritize, "{") == "[]");  // not even read
  CHECK(json::parse(neutral(Verb::kFilter, request(R"(["busy","calm"])")))["NodeNames"] ==
        json::array({"busy", "calm"}));
  CHECK(neutral(Verb::kFilter, "{").find("refused") == 0);
  CHECK(neutral(Verb::kPreempt, R"({"NodeNameToMetaVictims":{"busy":{"Pods":[{"UID":"1"}]},)"
                                R"("calm":{"Pods":[]}}})") ==
        R"({"NodeNameToMetaVictims":{"busy":{"Pods":[{"UID":"1"}],"NumPDBViolations":0}}})");
  CHECK(e.ledger.pods() == 0);
}

TEST_CASE("without an API server the bind verb says what is missing") {
  Extender e;
  const auto reply =
      e.post("/bind", R"({"PodName":"p","PodNamespace":"n","PodUID":"u","Node":"a"})");
  CHECK(reply.status == 200);
  CHECK(json::parse(reply.body)["Error"].get<std::string>().find("--kubeconfig") !=
        std::string::npos);
  CHECK(e.post("/bind", "{}").status == 400);
  CHECK(e.post("/bind", "").status == 400);
  const auto ready = json::parse(e.get("/readyz").body);
  CHECK(ready["kubernetes"]["state"] == "off");
  CHECK(ready["kubernetes"].contains("note"));
}

TEST_CASE("filter rejects only where it is told to") {
  PolicyParameters parameters;
  parameters.contention.reject_above = 0.7;
  Extender e({}, parameters);
  e.measure(kTwo);
  const auto reply = json::parse(e.post("/filter", request(R"(["busy","calm"])")).body);
  CHECK(reply["NodeNames"] == json::array({"calm"}));
  CHECK(reply["FailedNodes"] == json::object());
  CHECK(reply["FailedAndUnresolvableNodes"]["busy"] == "optipod: too much contention measured");
  CHECK(
      json::parse(e.post("/policies/template/filter", request(R"(["busy"])")).body)["NodeNames"] ==
      json::array({"busy"}));
}

/// A hundred and fifty nodes that the API server has told of, the first ones calmer.
struct Large {
  Large() {
    test::Cluster cluster;
    e.state.begin_nodes();
    for (int i = 0; i < 150; ++i) {
      const std::string name = fmt::format("node-{:03}", i);
      cluster[name] = {{Signal::kCpus, 4}, {Signal::kCpuUtilization15s, i / 200.0}};
      names += fmt::format(R"({}"{}")", i == 0 ? "" : ",", name);
      wire::NodeObject node;
      node.name = name;
      node.avoided = i < 80;
      e.state.node(node);
    }
    e.state.end_nodes();
    e.state.begin_pods();
    e.state.end_pods();
    e.measure(cluster);
  }
  [[nodiscard]] json filter(const std::string& spec) const {
    return json::parse(e.post("/filter", R"({"Pod":{"metadata":{"name":"p","namespace":"ns","uid":)"
                                         R"("u"},"spec":{)" +
                                             spec + R"(}},"Nodes":null,"NodeNames":[)" + names +
                                             "]}")
                           .body);
  }

  Extender e;
  std::string names;
};

TEST_CASE("filter shortlists, the scores are of the shortlist, and the explanation says so") {
  const Large large;
  const Extender& e = large.e;
  const json reply = large.filter("");
  REQUIRE(reply["NodeNames"].size() == 100);
  CHECK(reply["NodeNames"].front() == "node-000");
  CHECK(reply["NodeNames"][49] == "node-049");  // the best of all
  CHECK(reply["NodeNames"][50] == "node-080");  // and of those without a taint
  CHECK(reply["NodeNames"].back() == "node-129");
  CHECK(reply["FailedNodes"] == json::object());
  CHECK(reply["FailedAndUnresolvableNodes"] == json::object());
  CHECK(reply["Error"] == "");
  CHECK(e.metric("optipod_extender_left_out_total") == 50);
  CHECK(json::parse(e.get("/explain").body)["decisions"].empty());

  e.post("/prioritize", request(reply["NodeNames"].dump()));
  e.post("/prioritize", R"({"Pod":{"metadata":{"uid":"v"}},"NodeNames":["node-010","node-100"]})");
  const json why = json::parse(e.get("/explain").body)["decisions"];
  REQUIRE(why.size() == 2);
  CHECK(why[1]["candidates_total"] == 100);
  CHECK(why[1]["shortlisted_of"] == 150);
  CHECK(why[1]["summary"].get<std::string>().ends_with("; the candidates are a shortlist of 150"));
  CHECK(why[0]["shortlisted_of"].is_null());
}

TEST_CASE("a policy that is asked alone leaves nobody out") {
  const Large large;
  const std::string body = request("[" + large.names + "]");
  const auto alone = json::parse(large.e.post("/policies/contention/filter", body).body);
  CHECK(alone["NodeNames"].size() == 150);
  CHECK(json::parse(large.e.post("/filter", body).body)["NodeNames"].size() == 100);
}

TEST_CASE("a pod with preferences among nodes has all of them") {
  const Large large;
  CHECK(large
            .filter(R"("topologySpreadConstraints":[{"whenUnsatisfiable":"ScheduleAnyway"}])")
                ["NodeNames"]
            .size() == 150);
  CHECK(large.e.metric("optipod_extender_left_out_total") == 0);
  large.e.post("/prioritize", request("[" + large.names + "]"));
  const json why = json::parse(large.e.get("/explain").body)["decisions"];
  REQUIRE(why.size() == 1);
  CHECK(why[0]["shortlisted_of"].is_null());
}

TEST_CASE("what is rejected and what is left out are told apart") {
  PolicyParameters parameters;
  parameters.contention.reject_above = 0.7;
  AnswerOptions options;
  options.decide.shortlist = 1;
  Extender e(options, parameters);
  for (const char* name : {"busy", "calm", "calmer"}) {
    wire::NodeObject node;
    node.name = name;
    e.state.node(node);
  }
  e.state.end_nodes();
  e.state.end_pods();
  auto cluster = kTwo;
  cluster["calmer"] = cluster["calm"];
  cluster["calm"][Signal::kRunqueueWait15s] = 0.4;
  e.measure(cluster);
  const auto reply = json::parse(e.post("/filter", request(R"(["busy","calm","calmer"])")).body);
  CHECK(reply["NodeNames"] == json::array({"calmer"}));
  CHECK(reply["FailedAndUnresolvableNodes"].size() == 1);
  const json why = json::parse(e.get("/explain").body)["decisions"][0];
  CHECK(why["rejected"] == 1);
  CHECK(why["left_out"] == 1);
  CHECK(why["summary"] ==
        "1 of 3 nodes are rejected (optipod: too much contention measured); a shortlist of 1 is "
        "kept");
  for (const json& candidate : why["candidates"]) {
    CHECK(candidate.contains("rejected") == (candidate["node"] == "busy"));
    CHECK(candidate.contains("left_out") == (candidate["node"] == "calm"));
  }
}

TEST_CASE("whole Node objects are scored, but not filtered: the reason reaches the user") {
  Extender e;
  e.measure(kTwo);
  const std::string full =
      R"({"Pod":{},"Nodes":{"metadata":{},"items":[{"metadata":{"name":"busy"}},)"
      R"({"metadata":{"name":"calm"}}]},"NodeNames":null})";
  const auto filter = e.post("/filter", full);
  CHECK(filter.status == 200);  // a body is read with 200 only
  CHECK(json::parse(filter.body)["Error"].get<std::string>().find("nodeCacheCapable: true") !=
        std::string::npos);
  const auto prioritize = e.post("/prioritize", full);
  CHECK(prioritize.status == 200);
  CHECK(prioritize.body == R"([{"Host":"calm","Score":10}])");
  CHECK(e.metric(R"(optipod_extender_decode_errors_total{cause="nodes_not_names"})") == 2);
}

TEST_CASE("bad bodies get 400 and nothing else, at every verb; the next request is served") {
  Extender e;
  e.measure(kTwo);
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
  for (const std::string path : {"/filter", "/prioritize", "/preempt",
                                 "/policies/contention/filter", "/policies/template/prioritize"}) {
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
  e.measure(kTwo);
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
    e.measure(cluster);
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
