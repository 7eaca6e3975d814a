// SPDX-License-Identifier: Apache-2.0
// The extender's webhook in this process, with measurements that a test gives it.
#pragma once

#include <memory>
#include <string>

#include "common/http/client.hpp"
#include "common/http/server.hpp"
#include "extender/clock.hpp"
#include "extender/decide/publisher.hpp"
#include "extender/policies/registry.hpp"
#include "extender/serve/service.hpp"
#include "tests/extender/support.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender::test {

struct Extender {
  explicit Extender(AnswerOptions options = {}, PolicyParameters parameters = {}) {
    PolicySet set(make_policies(parameters));
    set.combination = set.parse("contention").value();
    current = std::make_unique<CurrentWorld>(make_world(
        std::make_shared<const Snapshot>(), std::make_shared<const PolicySet>(std::move(set))));
    publisher = std::make_unique<Publisher>(30'000, *current, ledger, &state);
    answers = std::make_unique<Answers>(options, wire::ResourceNames(), *current, ledger, workloads,
                                        records, metrics);
    service =
        std::make_unique<Service>(ServiceParts{.answers = *answers,
                                               .current = *current,
                                               .ledger = ledger,
                                               .workloads = workloads,
                                               .records = records,
                                               .metrics = metrics,
                                               .kubernetes = [] { return KubernetesHealth{}; },
                                               .parameters_error = [] { return std::string(); }});
    service->add_routes(server);
    REQUIRE(server.listen("127.0.0.1:0"));
  }
  ~Extender() { server.stop(); }

  void measure(const Cluster& cluster) {
    REQUIRE(publisher->take(federate(cluster, unix_ms()), unix_ms()));
  }
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

  Ledger ledger;
  Workloads workloads;
  Records records{512};
  Metrics metrics;
  ClusterState state{
      ledger, workloads, unix_ms,
      [this](std::string_view uid, std::string_view node) { records.bound(uid, node, unix_ms()); }};
  std::unique_ptr<CurrentWorld> current;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<Answers> answers;
  std::unique_ptr<Service> service;
  http::Server server{http::ServerLimits{.max_body_bytes = 1024 * 1024}, 2};
};

inline const Cluster kTwo{
    {"calm",
     {{Signal::kCpus, 4}, {Signal::kCpuUtilization15s, 0.1}, {Signal::kRunqueueWait15s, 0}}},
    {"busy", {{Signal::kCpus, 4}, {Signal::kCpuUtilization15s, 1}, {Signal::kRunqueueWait15s, 4}}}};

inline std::string request(const std::string& names, const std::string& name = "p") {
  return R"({"Pod":{"metadata":{"name":")" + name +
         R"(","namespace":"ns","uid":"u"}},"Nodes":null,"NodeNames":)" + names + "}";
}

}  // namespace optipod::extender::test
