// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include "common/http/client.hpp"
#include "common/http/exchange.hpp"

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using ErrorCode = boost::system::error_code;

constexpr std::size_t kIdlePerHost = 2;
constexpr std::chrono::seconds kIdleTime{120};  ///< longer than a common scrape interval
constexpr std::chrono::seconds kSweepPeriod{15};
constexpr std::size_t kResolverThreads = 4;  ///< so that one slow name does not stop all others

void call(const Fetcher::Done& done, Exchange::Result result) {
  try {
    done(std::move(result));
  } catch (const std::exception& error) {
    spdlog::error("a fetcher's callback threw: {}", error.what());
  } catch (...) {
    spdlog::error("a fetcher's callback threw");
  }
}

/// Whom a connection may serve. One over TLS was shaken hands on for one server's name, as one
/// client; its context lives as long as it is kept, so that no other has that address.
std::string key_of(const Url& url, const ClientOptions& options) {
  if (!url.tls) return url.authority;
  return fmt::format("{} {} {}", url.authority, options.tls->server_name(),
                     static_cast<const void*>(options.tls->context().get()));
}

/// Whether the peer has closed, or said something unasked.
bool is_dead(StrandSocket& socket) {
  char byte = 0;
  const ssize_t n = recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

}  // namespace

struct Fetcher::Impl final : ExchangeHost {
  struct Idle {
    std::unique_ptr<Transport> transport;
    Clock::time_point since;
  };

  void resolve(const std::string& host, std::uint16_t port, Resolved resolved) override;
  void keep(const std::string& key, std::unique_ptr<Transport> transport) override;
  /// A kept connection of that key, or a new one; `reused` tells.
  std::unique_ptr<Transport> take(const std::string& key,
                                  const std::shared_ptr<Transport::TlsContext>& tls, bool& reused);
  void get(const std::string& url, Url parsed, const ClientOptions& options, Done done);
  void sweep();
  void run();

  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  asio::steady_timer sweeper{io};
  asio::thread_pool resolvers{kResolverThreads};
  std::mutex mutex;
  bool stopping = false;                                    ///< under mutex, as what follows
  std::unordered_map<std::string, std::vector<Idle>> idle;  ///< newest last
  std::unordered_map<Exchange*, std::shared_ptr<Exchange>> active;
  std::vector<std::thread> threads;
};

void Fetcher::Impl::resolve(const std::string& host, std::uint16_t port, Resolved resolved) {
  asio::post(resolvers, [this, host, port, resolved = std::move(resolved)] {
    ErrorCode error;
    tcp::resolver resolver(io);
    const auto found = resolver.resolve(host, std::to_string(port), error);
    if (error) return resolved(tl::unexpected(error.message()));
    Endpoints endpoints;
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
    resolved(std::move(endpoints));
  });
}

void Fetcher::Impl::keep(const std::string& key, std::unique_ptr<Transport> transport) {
  const std::lock_guard lock(mutex);
  if (stopping) return;
  auto& kept = idle[key];
  if (kept.size() >= kIdlePerHost) kept.erase(kept.begin());
  kept.push_back({std::move(transport), Clock::now()});
}

std::unique_ptr<Transport> Fetcher::Impl::take(const std::string& key,
                                               const std::shared_ptr<Transport::TlsContext>& tls,
                                               bool& reused) {
  const std::lock_guard lock(mutex);
  const auto found = idle.find(key);
  reused = found != idle.end();
  if (!reused) return std::make_unique<Transport>(StrandSocket(asio::make_strand(io)), tls);
  std::unique_ptr<Transport> transport = std::move(found->second.back().transport);
  found->second.pop_back();
  if (found->second.empty()) idle.erase(found);
  return transport;
}

void Fetcher::Impl::get(const std::string& url, Url parsed, const ClientOptions& options,
                        Done done) {
  bool reused = false;
  std::shared_ptr<Transport::TlsContext> tls;
  if (parsed.tls) tls = options.tls->context();
  std::string key = key_of(parsed, options);
  auto transport = take(key, tls, reused);
  auto exchange = std::make_shared<Exchange>(
      *this, std::move(transport), reused, std::move(key), url, std::move(parsed), options,
      [this, done = std::move(done)](Exchange* ended, Exchange::Result result) {
        std::shared_ptr<Exchange> last;
        call(done, std::move(result));
        const std::lock_guard lock(mutex);
        const auto found = active.find(ended);
        if (found == active.end()) return;
        last = std::move(found->second);
        active.erase(found);
      });
  bool late = false;
  {
    const std::lock_guard lock(mutex);
    late = stopping;
    active.emplace(exchange.get(), exchange);
  }
  late ? exchange->post_cancel("cancelled") : exchange->start();
}

void Fetcher::Impl::sweep() {
  sweeper.expires_after(kSweepPeriod);
  sweeper.async_wait([this](const ErrorCode& cancelled) {
    if (cancelled) return;
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
      const auto oldest = Clock::now() - kIdleTime;
      for (auto it = idle.begin(); it != idle.end();) {
        std::erase_if(it->second,
                      [&](Idle& i) { return i.since < oldest || is_dead(i.transport->socket()); });
        it = it->second.empty() ? idle.erase(it) : std::next(it);
      }
    }
    sweep();
  });
}

void Fetcher::Impl::run() {
  for (;;) {
    try {
      io.run();
      return;
    } catch (const std::exception& error) {
      spdlog::error("HTTP fetcher: {}", error.what());
    } catch (...) {
      spdlog::error("HTTP fetcher: unknown exception");
    }
  }
}

Fetcher::Fetcher(unsigned threads) : impl_(std::make_unique<Impl>()) {
  impl_->sweep();
  for (unsigned i = 0; i < std::max(threads, 1U); ++i) {
    impl_->threads.emplace_back([impl = impl_.get()] { impl->run(); });
  }
}

Fetcher::~Fetcher() {
  std::vector<std::shared_ptr<Exchange>> active;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->idle.clear();
    for (const auto& [key, exchange] : impl_->active) active.push_back(exchange);
  }
  for (const auto& exchange : active) exchange->post_cancel("cancelled");
  active.clear();
  asio::post(impl_->io, [impl = impl_.get()] { impl->sweeper.cancel(); });
  impl_->resolvers.join();
  impl_->work.reset();
  for (auto& thread : impl_->threads) thread.join();
}

void Fetcher::get(const std::string& url, const ClientOptions& options, Done done) {
  auto parsed = parse_url(url, Schemes::kHttpAndHttps);
  if (parsed && parsed->tls && !options.tls) {
    parsed = tl::unexpected(url + ": https, but no TLS options are given");
  }
  if (!parsed) {
    asio::post(impl_->io, [done = std::move(done), why = "GET " + parsed.error()] {
      call(done, tl::unexpected(ClientError{.what = why}));
    });
    return;
  }
  impl_->get(url, std::move(*parsed), options, std::move(done));
}

}  // namespace optipod::http
