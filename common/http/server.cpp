// SPDX-License-Identifier: Apache-2.0
#include "common/http/server.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
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

/// How often deadlines are looked at: a quarter of the shortest, so that none is late by more.
milliseconds clock_period(const ServerLimits& limits) {
  const auto shortest = std::min({limits.read_timeout, limits.write_timeout, limits.idle_timeout});
  return std::clamp(shortest / 4, milliseconds(10), milliseconds(250));
}

}  // namespace

struct Server::Impl {
  Impl(ServerLimits limits, unsigned thread_count) : threads_wanted(std::max(thread_count, 1U)) {
    shared.limits = limits;
  }

  tl::expected<void, std::string> bind(const std::string& address);
  ErrorCode bind_to(const tcp::endpoint& endpoint, bool dual_stack);
  void accept();
  void admit(StrandSocket socket);
  bool make_room();
  void tick();
  void run();
  void stop();
  void closed(Session* session, bool was_refused);

  // Connections and handlers refer to `shared` and the registry, so these outlive the context.
  Shared shared;
  const unsigned threads_wanted;
  std::mutex mutex;
  std::condition_variable none_left;
  std::unordered_map<Session*, std::weak_ptr<Session>> sessions;  ///< under mutex
  std::size_t refused = 0;  ///< of them, those being told 503; under mutex

  asio::io_context io{static_cast<int>(threads_wanted)};
  tcp::acceptor acceptor{asio::make_strand(io)};
  asio::steady_timer accept_timer{acceptor.get_executor()};
  asio::steady_timer clock{io};
  std::uint16_t bound_port = 0;
  std::vector<std::thread> threads;
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
  if (!parsed) return tl::unexpected(parsed.error());
  const auto fail = [&](const ErrorCode& error) {
    return tl::unexpected("cannot listen on " + address + ": " + error.message());
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
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex);
    if (refuse && refused >= kMostRefused) return;  // closes the socket
    session = std::make_shared<Session>(std::move(socket), shared,
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

void Server::Impl::run() {
  for (;;) {
    try {
      io.run();
      return;
    } catch (const std::exception& error) {
      spdlog::error("HTTP server: {}", error.what());
    } catch (...) {
      spdlog::error("HTTP server: unknown exception");
    }
  }
}

void Server::Impl::stop() {
  if (!listening) return;
  listening = false;
  shared.stopping.store(true);
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
    none_left.wait_for(lock, kStopTime, [this] { return sessions.empty(); });
  }
  io.stop();
  for (auto& thread : threads) thread.join();
  threads.clear();
  // No thread is left: what did not finish in time ends here.
  std::vector<std::shared_ptr<Session>> rest;
  for (const auto& [key, weak] : sessions) {
    if (auto session = weak.lock()) rest.push_back(std::move(session));
  }
  for (const auto& session : rest) session->close_now();
  ErrorCode ignored;
  acceptor.close(ignored);
}

Server::Server(ServerLimits limits, unsigned threads)
    : impl_(std::make_unique<Impl>(limits, threads)) {}

Server::~Server() {
  stop();
}

void Server::route(std::string_view method, std::string_view path, Handler handler) {
  impl_->shared.router.add(method, path, std::move(handler));
}

void Server::observe(Observer observer) {
  impl_->shared.observer = std::move(observer);
}

tl::expected<void, std::string> Server::listen(const std::string& address) {
  if (impl_->bound_port != 0) {
    return tl::unexpected("cannot listen on " + address + ": this server has listened already");
  }
  if (auto bound = impl_->bind(address); !bound) return bound;
  impl_->listening = true;
  impl_->accept();
  impl_->tick();
  for (unsigned i = 0; i < impl_->threads_wanted; ++i) {
    impl_->threads.emplace_back([impl = impl_.get()] { impl->run(); });
  }
  return {};
}

std::uint16_t Server::port() const {
  return impl_->bound_port;
}

void Server::stop() {
  impl_->stop();
}

}  // namespace optipod::http
