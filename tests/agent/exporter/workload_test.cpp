// SPDX-License-Identifier: Apache-2.0
// What a pod's name says about its owner, and that the page says it only when asked.
#include "agent/exporter/workload.hpp"

#include <string>

#include "agent/exporter/render.hpp"
#include "tests/agent/exporter/fabricate.hpp"
#include "tests/agent/exporter/scraped.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::exporter;
using namespace optipod::exporter::testing;

TEST_CASE("a pod's name without what its controllers added") {
  const auto of = [](std::string_view pod) { return workload_of(pod, "node-1"); };
  CHECK(of("checkout-5d9c7b9f4-x2kvq") == "checkout");  // Deployment
  CHECK(of("a-b-c-69f8d5c6bb-zz4wl") == "a-b-c");       // its name has dashes, too
  CHECK(of("fluent-bit-8hqzt") == "fluent-bit");        // DaemonSet, Job, ReplicaSet
  CHECK(of("report-28412345-q8w5z") == "report");       // CronJob
  CHECK(of("postgres-0") == "postgres");                // StatefulSet
  CHECK(of("kafka-broker-12") == "kafka-broker");
  CHECK(of("etcd-node-1") == "etcd");  // static pod, not a StatefulSet
  CHECK(workload_of("kube-proxy-n", "n") == "kube-proxy");
}

TEST_CASE("a name that no controller made is left alone") {
  for (const char* pod :
       {"debug", "my-nginx", "web-proxy", "a", "", "-", "-0", "-x2kvq", "web-X2KVQ", "web-x2kv",
        "web-x2kvqq", "trailing-", "job-123456", "with-aeiou"}) {
    CAPTURE(pod);
    CHECK(workload_of(pod, "node-1") == pod);
  }
  CHECK(workload_of("etcd-node-2", "") == "etcd-node");
  CHECK(workload_of("web-5d9c7-x2kvq", "") == "web-5d9c7");  // too short for a ReplicaSet's hash
}

TEST_CASE("the label is on every series of a container, and only when asked for") {
  shm::Tick tick = node_tick();
  tick.containers.push_back(container("shop", "cart-5d9c7b9f4-x2kvq", "app", 2));
  tick.containers.push_back(container("", "", "/system.slice/ssh.service", 9));
  const auto page_of = [&tick](const View& view) {
    std::string page;
    Renderer renderer;
    CHECK(renderer.render(tick, view, page) == 0);
    return page;
  };
  const std::string without = page_of({});
  const std::string with = page_of({.workload = true});
  CHECK(without.find("workload=") == std::string::npos);
  CHECK(Scraped(with).size() == Scraped(without).size());
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = with.find("\noptipod_container_", at)) != std::string::npos;
       ++at) {
    const std::string line = with.substr(at + 1, with.find('\n', at + 1) - at - 1);
    CAPTURE(line);
    const bool pod = line.find("pod=\"cart") != std::string::npos;
    CHECK(line.find(pod ? ",workload=\"cart\"" : ",workload=\"\"") != std::string::npos);
    ++lines;
  }
  CHECK(lines > 100);
}
