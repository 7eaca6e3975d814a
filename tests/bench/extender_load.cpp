// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/extender_load.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <random>
#include <string_view>
#include <vector>

#include "extender/cluster/signals.hpp"

namespace optipod::bench {
namespace {

constexpr std::size_t kTimeDigits = 13;  // Unix ms, until the year 2286
constexpr std::string_view kUidMark = "0b8f7a52-6a3f-4f6e-9f5e-0d6c8f2f";

/// Something between idle and overloaded for each kind of signal; `share` is uniform in 0 .. 1.
double plausible(std::string_view key, double share) {
  const auto has = [key](std::string_view part) {
    return key.find(part) != std::string_view::npos;
  };
  if (key == "cpus") return 16;
  if (key == "memory_bytes") return 64.0 * 1024 * 1024 * 1024;
  if (key == "up") return 1;
  if (has("stall")) return std::pow(share, 4);
  if (has("latency") || has("seconds")) return 0.02 * std::pow(share, 3);
  if (has("loss")) return 0.03 * std::pow(share, 4);
  if (has("inflight")) return 4 * share * share;
  if (has("bytes_rate")) return 1e8 * share;
  if (has("rate")) return 1e4 * share;
  if (has("stddev")) return 0.15 * share;
  if (has("memory")) return 0.9 * share;
  return share;
}

constexpr std::string_view kPodHead =
    R"({"Pod":{"metadata":{"name":"checkout-6f7d9c5b8d-x2v7q","generateName":"checkout-6f7d9c5b8d-",)"
    R"("namespace":"shop","uid":"0b8f7a52-6a3f-4f6e-9f5e-0d6c8f2f0000","resourceVersion":"81234567",)"
    R"("creationTimestamp":"2026-01-02T03:04:05Z","labels":{"app":"checkout","pod-template-hash":)"
    R"("6f7d9c5b8d","tier":"frontend"},"annotations":{"prometheus.io/scrape":"true"},)"
    R"("ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"checkout-6f7d9c5b8d",)"
    R"("uid":"6d4d8f0e-1c6e-4b0e-8d2a-7a0f4c1b2d33","controller":true,"blockOwnerDeletion":true}]},)"
    R"("spec":{"volumes":[{"name":"kube-api-access-7xk2p","projected":{"sources":[)"
    R"({"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":)"
    R"("kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}}],"defaultMode":420}}],)"
    R"("containers":[)";
constexpr std::string_view kContainer =
    R"({"name":"part","image":"registry.example/shop/checkout:1.42.7","env":[)"
    R"({"name":"POD_IP","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"status.podIP"}}}],)"
    R"("ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}],"resources":{"limits":)"
    R"({"cpu":"1","memory":"512Mi"},"requests":{"cpu":"250m","memory":"256Mi"}},"volumeMounts":)"
    R"([{"name":"kube-api-access-7xk2p","readOnly":true,"mountPath":"/var/run/secrets"}],)"
    R"("livenessProbe":{"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},)"
    R"("timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},)"
    R"("terminationMessagePath":"/dev/termination-log","imagePullPolicy":"IfNotPresent"})";
constexpr std::string_view kPodTail =
    R"(],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst",)"
    R"("serviceAccountName":"default","schedulerName":"optipod-scheduler","tolerations":[)"
    R"({"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute",)"
    R"("tolerationSeconds":300}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":)"
    R"("PreemptLowerPriority"},"status":{"phase":"Pending","qosClass":"Burstable"}},)"
    R"("Nodes":null,"NodeNames":[)";

}  // namespace

std::string node_name(std::size_t i) {
  return fmt::format("node-{:05}.example.internal", i);
}

View::View() {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> share(0, 1);
  for (const extender::SignalInfo& signal : extender::kSignalInfo) {
    text_ += fmt::format("# TYPE {} untyped\n", signal.series);
    for (std::size_t i = 0; i < kNodes; ++i) {
      text_ += fmt::format("{}{{node=\"{}\"}} {:.6g} {:0{}}\n", signal.series, node_name(i),
                           plausible(signal.key, share(random)), 0, kTimeDigits);
    }
  }
}

const std::string& View::at(std::int64_t now_ms) {
  const std::string time = fmt::format("{:0{}}", now_ms, kTimeDigits);
  for (std::size_t from = 0; from < text_.size();) {
    const std::size_t end = text_.find('\n', from);
    if (text_[from] != '#') std::ranges::copy(time, text_.data() + end - kTimeDigits);
    from = end + 1;
  }
  return text_;
}

Request::Request(std::size_t candidates) : body_(kPodHead) {
  uid_at_ = body_.find(kUidMark) + kUidMark.size();
  for (int c = 0; c < 3; ++c) body_.append(c == 0 ? "" : ",").append(kContainer);
  body_ += kPodTail;
  std::vector<std::size_t> order(kNodes);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937(2));
  for (std::size_t i = 0; i < candidates; ++i) {
    body_ += fmt::format("{}\"{}\"", i == 0 ? "" : ",", node_name(order[i]));
  }
  body_ += "]}";
}

const std::string& Request::of(std::size_t i) {
  std::ranges::copy(fmt::format("{:04}", i % kPods), body_.data() + uid_at_);
  return body_;
}

}  // namespace optipod::bench
