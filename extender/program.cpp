// SPDX-License-Identifier: Apache-2.0
#include "extender/program.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "common/kube/config.hpp"
#include "extender/clock.hpp"
#include "extender/config/parameters.hpp"
#include "extender/feeds/background.hpp"

namespace optipod::extender {
namespace {

/// A world is published at least so often: old measurements are dropped, bookings settled.
constexpr std::chrono::milliseconds kRefresh{500};
constexpr std::chrono::milliseconds kTick{100};
/// kube-scheduler has one large request under way at a time, or one an extender's verb.
constexpr std::size_t kLargestAtOnce = 4;

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

/// A client of the API server, or null when there is none to follow.
tl::expected<std::unique_ptr<kube::Client>, std::string> connect(const Options& o) {
  if (o.kubernetes == UseKubernetes::kOff) return nullptr;
  if (o.kubernetes == UseKubernetes::kAuto && o.kubeconfig.empty() && o.kube_context.empty() &&
      !is_set("KUBECONFIG") && !is_set("KUBERNETES_SERVICE_HOST")) {
    spdlog::info(
        "no API server is named (--kubeconfig, or run in a cluster): decisions rest on "
        "measurements alone");
    return nullptr;
  }
  auto client = kube::Client::open(o.kubeconfig, o.kube_context);
  if (!client) return client;
  const auto config = (*client)->config();
  spdlog::info("following pods and nodes at {} ({})", config->server, config->source);
  return client;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ",") + part;
  return out;
}

}  // namespace

tl::expected<Setup, std::string> set_up(Options options) {
  if (std::string wrong = problem(options); !wrong.empty()) return tl::unexpected(wrong);
  options.answers.decide.fresh_for_ms = options.fresh_for.count();
  options.answers.decide.expire_after_ms = options.expire_after.count();

  if (const auto usable = http::OriginClient::make(options.source.url); !usable) {
    return tl::unexpected("--metrics-url: " + usable.error());
  }
  auto client_config = http::open_client_config(options.metrics_config);
  if (!client_config) {
    return tl::unexpected("--metrics.config.file: " + client_config.error());
  }
  options.source.client_config = std::move(*client_config);

  Setup setup;
  PolicyFileOptions& file = setup.policy_file;
  file.resources = wire::ResourceNames(options.extended_resources);
  file.path = options.policies_file;
  file.combination = joined(options.policy);
  auto base =
      parameters_of_environment([](const char* name) { return std::getenv(name); }, file.resources);
  if (!base) return tl::unexpected(base.error());
  file.base = std::move(*base);
  auto policies = load_policies(file);
  if (!policies) return tl::unexpected(policies.error());
  setup.policies = std::move(*policies);
  auto client = connect(options);
  if (!client) return tl::unexpected(client.error());
  setup.client = std::move(*client);
  setup.options = std::move(options);
  return setup;
}

std::string Program::ParametersError::get() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

void Program::ParametersError::set(std::string text) {
  const std::lock_guard lock(mutex_);
  text_ = std::move(text);
}

Program::Program(Setup setup)
    : setup_(std::move(setup)),
      records_(setup_.options.explain_decisions),
      state_(ledger_, workloads_, unix_ms,
             [this](std::string_view uid, std::string_view node) {
               records_.bound(uid, node, unix_ms());
             }),
      current_(make_world(std::make_shared<const Snapshot>(), setup_.policies)),
      publisher_(setup_.options.expire_after.count(), current_, ledger_,
                 setup_.client ? &state_ : nullptr),
      answers_(setup_.options.answers, setup_.policy_file.resources, current_, ledger_, workloads_,
               records_, metrics_),
      server_(limits(), setup_.options.threads) {
  if (setup_.client) {
    binder_.emplace(*setup_.client, state_, ledger_, metrics_, setup_.options.bind_timeout);
  }
  service_.emplace(service_parts());
  service_->add_routes(server_);
}

Program::~Program() = default;

http::ServerLimits Program::limits() const {
  const Options& o = setup_.options;
  http::ServerLimits limits;
  limits.max_body_bytes = o.max_request_bytes;
  limits.max_all_bodies_bytes = kLargestAtOnce * o.max_request_bytes;
  limits.max_connections = o.max_connections;
  limits.max_queued = o.max_queued;
  limits.queue_deadline = o.deadline;
  limits.slow_threads = o.bind_threads;
  // kube-scheduler sends bindings as fast as it schedules, and the API server may take longer for a
  // while: each may wait, until who has sent it goes.
  limits.slow_queue = o.max_connections;
  limits.slow_deadline = o.bind_timeout;
  return limits;
}

ServiceParts Program::service_parts() {
  return {.answers = answers_,
          .binder = binder_ ? &*binder_ : nullptr,
          .current = current_,
          .ledger = ledger_,
          .workloads = workloads_,
          .records = records_,
          .metrics = metrics_,
          .kubernetes = [this] { return health(); },
          .parameters_error = [this] { return parameters_error_.get(); }};
}

KubernetesHealth Program::health() const {
  KubernetesHealth out;
  if (!kubernetes_) return out;
  using State = kube::ReflectorStatus::State;
  const std::array status{kubernetes_->pods(), kubernetes_->nodes()};
  out.pods = state_.pods();
  out.nodes = state_.nodes();
  State worst = State::kSynced;
  for (std::size_t r = 0; r < status.size(); ++r) {
    out.synced[r] = status[r].state == State::kSynced;
    out.events[r] = status[r].events;
    out.failures[r] = status[r].failures;
    if (out.synced[r]) continue;
    if (worst == State::kSynced || status[r].state == State::kFailing) worst = status[r].state;
    if (!status[r].last_error.empty()) out.error = status[r].last_error;
  }
  // What has been listed counts from the next world on.
  if (worst == State::kSynced && !current_.get()->snapshot->follows_kubernetes) {
    worst = State::kSyncing;
  }
  out.state = std::string(kube::to_string(worst));
  return out;
}

tl::expected<void, std::string> Program::start() {
  if (setup_.client) {
    kubernetes_.emplace(*setup_.client, setup_.policy_file.resources, state_);
  }
  const Options& o = setup_.options;
  if (auto listening = server_.listen(o.listen_address, o.web_config); !listening) return listening;
  spdlog::info("serving kube-scheduler on port {}", server_.port());
  watch_parameters();
  start_feeds();
  return {};
}

void Program::watch_parameters() {
  const std::string& path = setup_.policy_file.path;
  if (path.empty()) return;
  metrics_.parameters_loaded(true);
  parameters_.emplace(setup_.policy_file, [this, path](auto loaded) {
    metrics_.parameters_loaded(loaded.has_value());
    parameters_error_.set(loaded ? std::string() : loaded.error());
    if (loaded) {
      spdlog::info("{}: new parameters are in use", path);
      publisher_.set_policies(*loaded, unix_ms());
    } else {
      spdlog::error("{}; the parameters before it stay in use", loaded.error());
    }
  });
}

void Program::start_feeds() {
  const Options& o = setup_.options;
  SourceOptions measurements = o.source;
  if (measurements.match.empty()) measurements.match = measurements_match();
  measurements_.emplace(std::move(measurements), publisher_, metrics_);
  if (!setup_.client || o.profile_interval.count() <= 0) return;
  SourceOptions source = o.source;
  source.match = kPodMatch;
  source.interval = o.profile_interval;
  source.timeout = std::max(source.timeout, o.profile_interval / 2);
  profiles_.emplace(std::move(source), state_, workloads_, metrics_);
}

/// Whether pods and nodes are as the API server has them, or were until lately: what it said counts
/// as long as a measurement does.
bool Program::is_followed() {
  const auto now = std::chrono::steady_clock::now();
  const auto synced = kube::ReflectorStatus::State::kSynced;
  if (kubernetes_->pods().state == synced && kubernetes_->nodes().state == synced) {
    followed_at_ = now;
  }
  return now - followed_at_ <= setup_.options.expire_after;
}

void Program::run(app::Stop& stop) {
  stand_back();
  while (!stop.wait_until(std::chrono::steady_clock::now() + kTick)) {
    if (kubernetes_) publisher_.set_followed(is_followed());
    publisher_.refresh(unix_ms(), kRefresh.count());
  }
  if (binder_) binder_->stop();
  server_.stop();
}

}  // namespace optipod::extender
