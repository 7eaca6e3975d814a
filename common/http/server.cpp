// SPDX-License-Identifier: Apache-2.0
#include "common/http/server.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/http/session.hpp"
#include "common/http/url.hpp"

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using ErrorCode = boost::system::error_code;
using std::chrono::milliseconds;

constexpr std::size_t kMostRefused = 64;   ///< connections that are being told 503 at one time
constexpr milliseconds kAcceptPause{100};  ///< after running out of descriptors
constexpr milliseconds kStopTime{1'000};
constexpr std::chrono::seconds kMemoryTime{5};
constexpr std::size_t kMostPasswords = 64;  ///< that wait to be checked

/// How often deadlines are looked at: a quarter of the shortest, so that none is late by more.
milliseconds clock_period(const ServerLimits& limits) {
  const auto shortest = std::min({limits.read_timeout, limits.write_timeout, limits.idle_timeout});
  return std::clamp(shortest / 4, milliseconds(10), milliseconds(250));
}

std::string what_to_do(const ErrorCode& error) {
  if (error == asio::error::address_in_use) {
    return "; stop what listens there (ss -ltnp shows it), or give another port";
  }
  if (error == asio::error::access_denied) {
    return "; give a port of 1024 or above, or the right to the lower ones";
  }
  if (error == boost::system::errc::address_not_available) {
    return "; give an address of this machine (ip address shows them), or :PORT for all of them";
  }
  return {};
}

struct ThreadPlan {
  std::size_t max_active = 1;
  std::size_t spare = 0;  ///< IoThreads
};

ThreadPlan plan(const ServerLimits& limits, unsigned threads) {
  const std::size_t wanted = std::max(threads, 1U);
  if (limits.max_active == 0 && wanted == 1) return {1, 0};
  const std::size_t active = limits.max_active == 0 ? wanted : limits.max_active;
  // Beside the handlers: one for the pages that are always answered, one that reads in any case.
  return {active, std::max(wanted, active + 2) - 1};
}

Lanes make_lanes(asio::io_context& io, const ServerLimits& limits, const ThreadPlan& plan) {
  return {.normal{io, {plan.max_active, limits.max_queued, limits.queue_deadline}},
          .slow{io,
                {std::max(limits.slow_threads, std::size_t{1}), limits.slow_queue,
                 limits.slow_deadline.value_or(limits.queue_deadline)}},
          .always{io, {}},
          .passwords{io, {1, kMostPasswords, limits.queue_deadline}}};
}

}  // namespace

struct Server::Impl {
  Impl(ServerLimits limits, unsigned threads) : Impl(limits, plan(limits, threads)) {}
  Impl(ServerLimits limits, ThreadPlan plan)
      : io(static_cast<int>(1 + plan.spare)),
        lanes(make_lanes(io, limits, plan)),
        threads(io, plan.spare) {
    shared.limits = limits;
    shared.lanes = &lanes;
    shared.threads = &threads;
  }

  tl::expected<void, std::string> bind(const std::string& address);
  [[nodiscard]] bool has_slow_routes() const;
  ErrorCode bind_to(const tcp::endpoint& endpoint, bool dual_stack);
  void accept();
  void admit(StrandSocket socket);
  bool make_room();
  void tick();
  std::size_t stop();
  void close_rest();
  ServerStats stats() const;
  void closed(Session* session, bool was_refused);

  // Connections and handlers refer to `shared` and the registry, so these outlive the context.
  Shared shared;
  std::mutex mutex;
  std::condition_variable none_left;
  std::unordered_map<Session*, std::weak_ptr<Session>> sessions;  ///< under mutex
  std::size_t refused = 0;  ///< of them, those being told 503; under mutex

  asio::io_context io;
  Lanes lanes;
  IoThreads threads;
  tcp::acceptor acceptor{asio::make_strand(io)};
  asio::steady_timer accept_timer{acceptor.get_executor()};
  asio::steady_timer clock{io};
  std::uint16_t bound_port = 0;
  bool listening = false;
};

ErrorCode Server::Impl::bind_to(const tcp::endpoint& endpoint, bool dual_stack) {
  ErrorCode error;
  ErrorCode ignored;
  acceptor.open(endpoint.protocol(), error);
  if (error) return error;
  acceptor.set_option(tcp::acceptor::reuse_address(true), ignored);
  if (endpoint.protocol() == tcp::v6()) {
    acceptor.set_option(asio::ip::v6_only(!dual_stack), ignored);
  }
  acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    acceptor.close(ignored);
    return error;
  }
  bound_port = acceptor.local_endpoint(ignored).port();
  return error;
}

tl::expected<void, std::string> Server::Impl::bind(const std::string& address) {
  const auto parsed = parse_host_port(address);
  if (!parsed) return tl::unexpected("--web.listen-address: " + parsed.error());
  const auto fail = [&](const ErrorCode& error) {
    return tl::unexpected("--web.listen-address: cannot listen on " + address + ": " +
                          error.message() + what_to_do(error));
  };
  if (parsed->host.empty()) {
    ErrorCode error = bind_to({tcp::v6(), parsed->port}, true);
    if (error && error != asio::error::address_in_use) {
      error = bind_to({tcp::v4(), parsed->port}, false);  // a kernel without IPv6
    }
    if (error) return fail(error);
    return {};
  }
  ErrorCode error;
  tcp::resolver resolver(io);
  const auto found =
      resolver.resolve(parsed->host, std::to_string(parsed->port), tcp::resolver::passive, error);
  if (error) return fail(error);
  error = asio::error::host_not_found;
  for (const auto& entry : found) {
    error = bind_to(entry.endpoint(), false);
    if (!error) return {};
  }
  return fail(error);
}

void Server::Impl::accept() {
  acceptor.async_accept(asio::make_strand(io), [this](const ErrorCode& error, StrandSocket socket) {
    if (!acceptor.is_open()) return;
    if (!error) {
      admit(std::move(socket));
      return accept();
    }
    if (error == asio::error::operation_aborted) return;
    // Out of descriptors or memory: the connection stays in the backlog until there is room.
    spdlog::warn("cannot accept a connection: {}", error.message());
    make_room();
    accept_timer.expires_after(kAcceptPause);
    accept_timer.async_wait([this](const ErrorCode& cancelled) {
      if (!cancelled) accept();
    });
  });
}

/// Lets the connection in; when all places are taken, the longest idle one goes, and when none is
/// idle, the new one is told so.
void Server::Impl::admit(StrandSocket socket) {
  bool full = false;
  {
    const std::lock_guard lock(mutex);
    full = sessions.size() - refused >= shared.limits.max_connections;
  }
  const bool refuse = full && !make_room();
  std::shared_ptr<TlsServer> tls = shared.web ? shared.web->current()->tls : nullptr;
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex);
    if (refuse && refused >= kMostRefused) return;  // closes the socket
    session = std::make_shared<Session>(std::move(socket), std::move(tls), shared,
                                        [this, refuse](Session* s) { closed(s, refuse); });
    sessions.emplace(session.get(), session);
    if (refuse) ++refused;
  }
  refuse ? session->refuse() : session->start();
}

bool Server::Impl::make_room() {
  std::shared_ptr<Session> oldest;
  {
    const std::lock_guard lock(mutex);
    SteadyTime since = SteadyTime::max();
    for (const auto& [key, weak] : sessions) {
      if (key->state() != Session::State::kIdle || key->evicted.load()) continue;
      if (key->idle_since() >= since) continue;
      if (auto session = weak.lock()) {
        since = session->idle_since();
        oldest = std::move(session);
      }
    }
    if (!oldest) return false;
    oldest->evicted.store(true);
  }
  oldest->post_close_if_idle();
  return true;
}

void Server::Impl::closed(Session* session, bool was_refused) {
  const std::lock_guard lock(mutex);
  if (was_refused) --refused;
  sessions.erase(session);
  if (sessions.empty()) none_left.notify_all();
}

/// One clock for all deadlines: cheaper than a timer for each step of each connection.
void Server::Impl::tick() {
  clock.expires_after(clock_period(shared.limits));
  clock.async_wait([this](const ErrorCode& cancelled) {
    if (cancelled) return;
    const SteadyTime now = Clock::now();
    std::vector<std::shared_ptr<Session>> late;
    std::vector<std::shared_ptr<Session>> idle;
    {
      const std::lock_guard lock(mutex);
      for (const auto& [key, weak] : sessions) {
        const bool is_late = key->deadline() <= now;
        const bool is_idle = key->state() == Session::State::kIdle &&
                             now - key->idle_since() > kMemoryTime && !key->memory_released;
        if (!is_late && !is_idle) continue;
        if (auto session = weak.lock()) (is_late ? late : idle).push_back(std::move(session));
      }
    }
    for (const auto& session : late) session->post_deadline();
    for (const auto& session : idle) session->post_release_memory();
    tick();
  });
}

std::size_t Server::Impl::stop() {
  if (!listening) return 0;
  listening = false;
  const SteadyTime until = Clock::now() + kStopTime;
  shared.stopping.store(true);
  lanes.slow.close();
  lanes.passwords.close();
  asio::post(acceptor.get_executor(), [this] {
    ErrorCode ignored;
    acceptor.close(ignored);
    accept_timer.cancel();
  });
  {
    std::unique_lock lock(mutex);
    std::vector<std::shared_ptr<Session>> all;
    for (const auto& [key, weak] : sessions) {
      if (auto session = weak.lock()) all.push_back(std::move(session));
    }
    lock.unlock();
    for (const auto& session : all) session->post_close_if_idle();
    all.clear();
    lock.lock();
    none_left.wait_until(lock, until, [this] { return sessions.empty(); });
  }
  threads.stop();
  const std::size_t left_behind = shared.workers.stop(until) + shared.password_workers.stop(until);
  close_rest();
  return left_behind;
}

/// What did not finish in time ends here. No thread is left, but for slow ones that were left
/// behind: those touch a request and a response, never a socket.
void Server::Impl::close_rest() {
  for (Lane* lane : {&lanes.normal, &lanes.slow, &lanes.always, &lanes.passwords}) lane->clear();
  std::vector<std::shared_ptr<Session>> rest;
  for (const auto& [key, weak] : sessions) {
    if (auto session = weak.lock()) rest.push_back(std::move(session));
  }
  for (const auto& session : rest) session->close_now();
  ErrorCode ignored;
  acceptor.close(ignored);
}

bool Server::Impl::has_slow_routes() const {
  const auto& routes = shared.router.routes();
  return std::any_of(routes.begin(), routes.end(), [](const Route& r) { return r.options.slow; });
}

ServerStats Server::Impl::stats() const {
  ServerStats stats;
  for (const Route& route : shared.router.routes()) {
    const auto same = [&](const auto& other) { return other.route == route.path; };
    auto entry = std::find_if(stats.turned_away.begin(), stats.turned_away.end(), same);
    if (entry == stats.turned_away.end()) {
      entry = stats.turned_away.insert(entry, ServerStats::TurnedAway{.route = route.path});
    }
    entry->queue_full += route.turned_away->queue_full.load(std::memory_order_relaxed);
    entry->deadline += route.turned_away->deadline.load(std::memory_order_relaxed);
  }
  const Lane::Load normal = lanes.normal.load();
  const Lane::Load slow = lanes.slow.load();
  stats.active = normal.active;
  stats.queued = normal.queued;
  stats.slow_active = slow.active;
  stats.slow_queued = slow.queued;
  return stats;
}

Server::Server(ServerLimits limits, unsigned threads)
    : impl_(std::make_shared<Impl>(limits, threads)) {}

Server::~Server() {
  stop();
}

void Server::route(std::string_view method, std::string_view path, Handler handler,
                   RouteOptions options) {
  impl_->shared.router.add(method, path, std::move(handler), std::move(options));
}

void Server::observe(Observer observer) {
  impl_->shared.observer = std::move(observer);
}

tl::expected<void, std::string> Server::listen(const std::string& address,
                                               const std::string& web_config_file) {
  if (impl_->bound_port != 0) {
    return tl::unexpected("cannot listen on " + address + ": this server has listened already");
  }
  if (!web_config_file.empty()) {
    auto web = open_web_config(web_config_file);
    if (!web) return tl::unexpected("--web.config.file: " + web.error());
    impl_->shared.web = std::move(*web);
  }
  if (auto bound = impl_->bind(address); !bound) return bound;
  impl_->listening = true;
  impl_->accept();
  impl_->tick();
  impl_->threads.start();
  if (impl_->shared.web) impl_->shared.password_workers.start(1, impl_);
  if (impl_->has_slow_routes()) {
    impl_->shared.workers.start(std::max(impl_->shared.limits.slow_threads, std::size_t{1}), impl_);
  }
  return {};
}

std::uint16_t Server::port() const {
  return impl_->bound_port;
}

ServerStats Server::stats() const {
  return impl_->stats();
}

std::size_t Server::stop() {
  return impl_->stop();
}

}  // namespace optipod::http
