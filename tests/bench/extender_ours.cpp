// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/extender_ours.hpp"

#include <fmt/core.h>

#include <stdexcept>
#include <utility>

#include "extender/clock.hpp"
#include "extender/config/policy_file.hpp"
#include "extender/feeds/background.hpp"
#include "tests/bench/extender_load.hpp"

namespace optipod::bench {
namespace {

using namespace extender;

constexpr std::int64_t kKeepMs = 30'000;
constexpr std::size_t kPodsPerNode = 4;

std::shared_ptr<const PolicySet> all_policies() {
  const auto only = load_policies({});
  if (!only) throw std::runtime_error(only.error());
  std::string all;
  for (std::size_t p = 0; p < (*only)->size(); ++p) {
    all.append(p == 0 ? "" : ",").append((**only)[p].name());
  }
  const auto combined = load_policies({.combination = all});
  if (!combined) throw std::runtime_error(combined.error());
  return *combined;
}

/// So that /filter has something to judge, whatever the policies' parameters say.
AnswerOptions answer_options() {
  AnswerOptions options;
  options.decide.on_missing = OnMissing::kReject;
  return options;
}

SourceOptions source(std::string url) {
  SourceOptions options;
  options.url = std::move(url);
  return options;
}

wire::Resources resources(double cpu, double memory_gib, double pods) {
  wire::Resources out;
  out[wire::kCpu] = cpu;
  out[wire::kMemory] = memory_gib * 1024 * 1024 * 1024;
  out[wire::kPods] = pods;
  return out;
}

wire::Pod bound_pod(const std::string& uid, const std::string& node) {
  wire::Pod pod;
  pod.name = pod.uid = uid;
  pod.name_space = "shop";
  pod.node_name = node;
  pod.phase = "Running";
  pod.requests = resources(0.5, 1, 1);
  return pod;
}

}  // namespace

Ours::Ours(std::string metrics_url)
    : state_(ledger_, workloads_, unix_ms,
             [this](std::string_view uid, std::string_view node) {
               records_.bound(uid, node, unix_ms());
             }),
      current_(make_world(std::make_shared<const Snapshot>(), all_policies())),
      publisher_(kKeepMs, current_, ledger_, &state_),
      answers_(answer_options(), wire::ResourceNames(), current_, ledger_, workloads_, records_,
               metrics_),
      service_({.answers = answers_,
                .current = current_,
                .ledger = ledger_,
                .workloads = workloads_,
                .records = records_,
                .metrics = metrics_,
                .kubernetes = [] { return KubernetesHealth{}; },
                .parameters_error = [] { return std::string(); }}),
      measurements_(source(std::move(metrics_url)), publisher_, metrics_) {
  know_cluster();
  service_.add_routes(server_);
  server_.observe([this](std::string_view route, unsigned status, std::chrono::nanoseconds took) {
    metrics_.answered("prioritize", status, took);
    if (!route.ends_with("/prioritize") && !route.ends_with("/filter")) return;
    const std::lock_guard lock(mutex_);
    taken_.push_back(static_cast<double>(took.count()));
    timed_.notify_one();
  });
  if (!server_.listen("127.0.0.1:0")) throw std::runtime_error("cannot listen on loopback");
  following_ = std::jthread([this](const std::stop_token& stop) { follow(stop); });
}

Ours::~Ours() {
  following_ = {};
  server_.stop();
}

std::vector<std::string> Ours::policies() const {
  std::vector<std::string> out;
  const auto set = current_.get()->policies;
  for (std::size_t p = 0; p < set->size(); ++p) out.emplace_back((*set)[p].name());
  return out;
}

std::vector<double> Ours::take(std::size_t count) {
  std::unique_lock lock(mutex_);
  timed_.wait(lock, [&] { return taken_.size() >= count; });
  return std::exchange(taken_, {});
}

/// What the API server would say: nodes, and pods that have run for a while.
void Ours::know_cluster() {
  state_.begin_nodes();
  state_.begin_pods();
  const std::int64_t long_ago = unix_ms() - 3'600'000;
  for (std::size_t i = 0; i < kNodes; ++i) {
    const std::string name = node_name(i);
    state_.node({.name = name, .allocatable = resources(16, 64, 110), .congestion = kMissing});
    for (std::size_t k = 0; k < kPodsPerNode + i % 5; ++k) {
      const std::string uid = fmt::format("running-{}-{}", i, k);
      wire::Pod pod = bound_pod(uid, name);
      pod.running_since_ms = long_ago;
      state_.pod(pod);
    }
  }
  state_.end_nodes();
  state_.end_pods();
}

/// As main() does, while 100 pods a second are bound and as many end.
void Ours::follow(const std::stop_token& stop) {
  stand_back();
  constexpr std::size_t kAlive = 400;
  for (std::size_t n = 0; !stop.stop_requested(); ++n) {
    const std::string uid = fmt::format("starting-{}", n);
    state_.pod(bound_pod(uid, node_name(n * 37 % kNodes)));
    if (n >= kAlive) state_.pod_gone(fmt::format("starting-{}", n - kAlive));
    if (n % 5 == 0) publisher_.refresh(unix_ms(), 500);
    if (n % 50 == 0) publisher_.refresh(unix_ms());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace optipod::bench
