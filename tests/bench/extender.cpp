// SPDX-License-Identifier: Apache-2.0
// /prioritize with 1,000 and 5,000 candidates in kube-scheduler's wire format over a warm
// connection, one request at a time as kube-scheduler sends them: from the last byte of the request
// read to the reply written, inside the server. Beside it a stock Go extender gets the same bytes
// and scores by the same formula; its time runs from the body read to the reply flushed.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <random>
#include <sstream>

#include "common/http/client.hpp"
#include "common/http/server.hpp"
#include "extender/clock.hpp"
#include "extender/cluster/source.hpp"
#include "extender/policies/registry.hpp"
#include "extender/service.hpp"
#include "tests/bench/extender_peer.hpp"
#include "tests/support/bench.hpp"

namespace {

using namespace optipod;
using namespace optipod::extender;

constexpr std::size_t kNodes = 5000;
constexpr std::size_t kRounds = 10;

std::string node_name(std::size_t i) {
  return fmt::format("node-{:05}.example.internal", i);
}

/// The scheduling view of kNodes nodes, loaded from not at all to too much.
std::string federate() {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> share(0, 1);
  std::string text;
  const std::int64_t now = unix_ms();
  for (const SignalInfo& signal : kSignalInfo) {
    text += fmt::format("# TYPE {} untyped\n", signal.series);
    for (std::size_t i = 0; i < kNodes; ++i) {
      double value = share(random);
      if (signal.key == "cpus") value = 16;
      if (signal.key == "memory_bytes") value = 64.0 * 1024 * 1024 * 1024;
      if (signal.key == "memory_utilization") value *= 0.9;
      if (signal.key.find("stall") != std::string_view::npos) value *= value * value * value;
      if (signal.key == "up") value = 1;
      text += fmt::format("{}{{node=\"{}\"}} {} {}\n", signal.series, node_name(i), value, now);
    }
  }
  return text;
}

/// What kube-scheduler sends for a pod of a Deployment, with `count` of the nodes in its own order.
std::string request(std::size_t count) {
  std::string body =
      R"({"Pod":{"metadata":{"name":"checkout-6f7d9c5b8d-x2v7q","generateName":"checkout-6f7d9c5b8d-",)"
      R"("namespace":"shop","uid":"0b8f7a52-6a3f-4f6e-9f5e-0d6c8f2f1a11","resourceVersion":"81234567",)"
      R"("creationTimestamp":"2026-01-02T03:04:05Z","labels":{"app":"checkout","pod-template-hash":)"
      R"("6f7d9c5b8d","tier":"frontend"},"annotations":{"prometheus.io/scrape":"true"},)"
      R"("ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"checkout-6f7d9c5b8d",)"
      R"("uid":"6d4d8f0e-1c6e-4b0e-8d2a-7a0f4c1b2d33","controller":true,"blockOwnerDeletion":true}]},)"
      R"("spec":{"volumes":[{"name":"kube-api-access-7xk2p","projected":{"sources":[)"
      R"({"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":)"
      R"("kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}}],"defaultMode":420}}],)"
      R"("containers":[)";
  for (int c = 0; c < 3; ++c) {
    body += fmt::format(
        R"({}{{"name":"part-{}","image":"registry.example/shop/checkout:1.42.{}","env":[)"
        R"({{"name":"POD_IP","valueFrom":{{"fieldRef":{{"apiVersion":"v1","fieldPath":"status.podIP"}}}}}}],)"
        R"("ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"resources":{{"limits":)"
        R"({{"cpu":"1","memory":"512Mi"}},"requests":{{"cpu":"250m","memory":"256Mi"}}}},"volumeMounts":)"
        R"([{{"name":"kube-api-access-7xk2p","readOnly":true,"mountPath":"/var/run/secrets"}}],)"
        R"("livenessProbe":{{"httpGet":{{"path":"/healthz","port":8080,"scheme":"HTTP"}},)"
        R"("timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3}},)"
        R"("terminationMessagePath":"/dev/termination-log","imagePullPolicy":"IfNotPresent"}})",
        c == 0 ? "" : ",", c, c);
  }
  body +=
      R"(],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst",)"
      R"("serviceAccountName":"default","schedulerName":"optipod-scheduler","tolerations":[)"
      R"({"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute",)"
      R"("tolerationSeconds":300}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":)"
      R"("PreemptLowerPriority"},"status":{"phase":"Pending","qosClass":"Burstable"}},)"
      R"("Nodes":null,"NodeNames":[)";
  std::vector<std::size_t> order(kNodes);
  for (std::size_t i = 0; i < kNodes; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(2));  // the scheduler's order is not ours
  for (std::size_t i = 0; i < count; ++i) {
    body += fmt::format("{}\"{}\"", i == 0 ? "" : ",", node_name(order[i]));
  }
  return body + "]}";
}

double percentile_us(std::vector<double>& ns, double p) {
  std::ranges::sort(ns);
  const auto at = static_cast<std::size_t>(std::lround(p * static_cast<double>(ns.size() - 1)));
  return ns.at(at) / 1e3;
}

/// Our extender as its main() puts it together, and the time of each /prioritize.
class Ours {
 public:
  explicit Ours(const std::string& view) : service_(make_service()) {
    feed_.route("GET", "/federate",
                [&view](const http::Request&, http::Response& reply) { reply.body = view; });
    service_->add_routes(server_);
    server_.observe([this](std::string_view route, unsigned status, std::chrono::nanoseconds took) {
      metrics_.answered("prioritize", status, took);
      if (route != "/prioritize") return;
      const std::lock_guard lock(mutex_);
      taken_.push_back(static_cast<double>(took.count()));
    });
    if (!feed_.listen("127.0.0.1:0") || !server_.listen("127.0.0.1:0")) {
      throw std::runtime_error("cannot listen on loopback");
    }
    options_.url = fmt::format("http://127.0.0.1:{}", feed_.port());
    refresh();
    if (current_.get()->size() != kNodes) throw std::runtime_error("the snapshot is not complete");
  }
  ~Ours() {
    server_.stop();
    feed_.stop();
  }
  void refresh() { MetricsSource(options_, current_, metrics_).refresh(); }
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }
  std::vector<double> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(taken_, {});
  }

 private:
  std::unique_ptr<Service> make_service() {
    auto policies = make_policies({});
    std::vector<WeightedPolicy> combination{{policies[0].get(), 1}};
    return std::make_unique<Service>(ServiceOptions{}, std::move(policies), std::move(combination),
                                     current_, metrics_);
  }
  CurrentSnapshot current_;
  Metrics metrics_;
  std::unique_ptr<Service> service_;
  SourceOptions options_;
  http::Server feed_;
  http::Server server_{{}, 2};
  std::mutex mutex_;
  std::vector<double> taken_;
};

std::vector<double> go_durations(std::uint16_t port) {
  const auto answer = http::get(fmt::format("http://127.0.0.1:{}/durations", port));
  if (!answer) throw std::runtime_error(answer.error());
  std::vector<double> taken;
  std::istringstream lines(answer->body);
  for (double ns = 0; lines >> ns;) taken.push_back(ns);
  return taken;
}

void load_go(bench::GoExtender& go) {
  const auto loaded =
      http::post(fmt::format("http://127.0.0.1:{}/load", go.port()), federate(), "text/plain");
  if (!loaded || loaded->status != 200) throw std::runtime_error("the Go extender took no data");
}

void measure(std::size_t names, std::size_t calls, std::string& view, Ours& ours,
             bench::GoExtender* go, bench::Report& report) {
  const std::string body = request(names);
  std::vector<double> own, peer;
  std::string own_reply, peer_reply;
  const auto run = [&](bench::Connection& connection) {
    std::string reply;
    for (std::size_t i = 0; i < calls; ++i) reply = connection.post("/prioritize", body);
    return reply;
  };
  for (std::size_t round = 0; round < kRounds; ++round) {  // alternating: noise hits both alike
    view = federate();                                     // measurements stay fresh
    ours.refresh();
    bench::Connection connection(ours.port());
    for (int i = 0; i < 20; ++i) connection.post("/prioritize", body);  // warm
    ours.take();
    own_reply = run(connection);
    const std::vector<double> taken = ours.take();
    own.insert(own.end(), taken.begin(), taken.end());
    if (go == nullptr) continue;
    load_go(*go);
    bench::Connection other(go->port());
    for (int i = 0; i < 20; ++i) other.post("/prioritize", body);
    go_durations(go->port());
    peer_reply = run(other);
    const std::vector<double> theirs = go_durations(go->port());
    peer.insert(peer.end(), theirs.begin(), theirs.end());
  }
  if (own_reply.size() < names) throw std::runtime_error("our reply lists too few hosts to count");
  if (go != nullptr && peer_reply.size() != own_reply.size()) {
    fmt::print(stderr, "bench extender: replies differ: ours {} bytes, Go {} bytes\n",
               own_reply.size(), peer_reply.size());
  }
  for (const auto& [label, p] : {std::pair{"p50", 0.5}, std::pair{"p99", 0.99}}) {
    bench::Result result;
    result.bench = "extender";
    result.name = fmt::format("{}_names_{}", names, label);
    result.value = percentile_us(own, p);
    result.unit = "us";
    if (go != nullptr) {
      result.peer = "go net/http+encoding/json";
      result.peer_value = percentile_us(peer, p);
    }
    report.add(result);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  spdlog::set_level(spdlog::level::err);
  bench::Report report(argc, argv);
  std::string view = federate();
  Ours ours(view);
  std::string why;
  const auto go = bench::GoExtender::start(OPTIPOD_GO_PEER, why);
  if (!go) fmt::print(stderr, "bench extender: no peer: {}\n", why);
  measure(1000, 400, view, ours, go.get(), report);
  measure(5000, 120, view, ours, go.get(), report);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "bench extender: {}\n", error.what());
  return 1;
}
