// SPDX-License-Identifier: Apache-2.0
#include "common/http/fetch_shard.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include <spdlog/spdlog.h>
#include <boost/asio/post.hpp>

#include "common/http/fetch_request.hpp"
#include "common/http/whole_reply.hpp"

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::size_t kIdlePerHost = 2;
constexpr std::chrono::seconds kIdleTime{120};  ///< longer than a common scrape interval
constexpr std::chrono::seconds kSweepPeriod{15};
constexpr std::size_t kBuffer = 256 * 1024;

void call(const Fetcher::Done& done, ClientResult&& result) {
  try {
    done(std::move(result));
  } catch (const std::exception& error) {
    spdlog::error("a fetcher's callback threw: {}", error.what());
  } catch (...) {
    spdlog::error("a fetcher's callback threw");
  }
}

/// Whether the peer has closed, or said something unasked.
bool is_dead(StrandSocket& socket) {
  char byte = 0;
  const ssize_t n = recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

}  // namespace

FetchShard::FetchShard(asio::thread_pool& resolvers)
    : resolvers_(resolvers),
      work_(io_.get_executor()),
      late_(io_),
      sweeper_(io_),
      buffer_(std::make_unique_for_overwrite<char[]>(kBuffer)) {
  sweep();
  thread_ = std::thread([this] { run(); });
}

void FetchShard::run() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& error) {
      spdlog::error("HTTP fetcher: {}", error.what());
    } catch (...) {
      spdlog::error("HTTP fetcher: unknown exception");
    }
  }
}

void FetchShard::ask(std::vector<Fetcher::Ask> asks) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = asked_.empty();
    std::move(asks.begin(), asks.end(), std::back_inserter(asked_));
  }
  if (first) asio::post(io_, [this] { begin_asked(); });
}

void FetchShard::cancel() {
  asio::post(io_, [this] {
    stopping_ = true;
    idle_.clear();
    late_.cancel();
    sweeper_.cancel();
    for (Sent& sent : sent_) end(sent, sent.request->failure("cancelled"));
    for (const auto& [key, exchange] : exchanges_) exchange->post_cancel("cancelled");
  });
}

void FetchShard::join() {
  work_.reset();
  thread_.join();
}

void FetchShard::begin_asked() {
  std::vector<Fetcher::Ask> asks;
  {
    const std::lock_guard lock(mutex_);
    asks.swap(asked_);
  }
  for (Fetcher::Ask& ask : asks) begin(std::move(ask));
}

void FetchShard::begin(Fetcher::Ask ask) {
  const Fetcher::Request& request = *ask.request;
  if (!request.error().empty()) return call(ask.done, request.unasked());
  if (stopping_) return call(ask.done, request.failure("cancelled"));
  Sent sent{.request = std::move(ask.request),
            .done = std::move(ask.done),
            .key = request.connection_key(),
            .transport = nullptr,
            .deadline = Clock::now() + request.options().timeout};
  sent.transport = take_idle(sent.key);
  const bool reused = sent.transport != nullptr;
  if (reused && !sent.transport->is_tls() && send(request, *sent.transport)) {
    sent_.push_front(std::move(sent));
    watch(sent_.front().deadline);
    return wait(sent_.begin());
  }
  if (!reused) sent.transport = new_transport(request);
  make_exchange(std::move(sent), reused)->start();
}

/// False when it did not go out whole, which makes the connection useless.
bool FetchShard::send(const Fetcher::Request& request, Transport& transport) {
  request.write(to_send_);
  const ssize_t n = ::send(transport.socket().native_handle(), to_send_.data(), to_send_.size(),
                           MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n == static_cast<ssize_t>(to_send_.size())) return true;
  ErrorCode ignored;
  transport.socket().close(ignored);
  return false;
}

void FetchShard::wait(SentAt at) {
  at->transport->socket().async_wait(tcp::socket::wait_read,
                                     [this, at](const ErrorCode&) { on_readable(at); });
}

void FetchShard::on_readable(SentAt at) {
  if (at->ended) {
    sent_.erase(at);
    return;
  }
  const ssize_t n =
      recv(at->transport->socket().native_handle(), buffer_.get(), kBuffer, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return wait(at);
  on_received(at, {buffer_.get(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))});
}

void FetchShard::on_received(SentAt at, std::string_view bytes) {
  Sent sent = std::move(*at);
  sent_.erase(at);
  if (bytes.empty()) {  // it died while nobody looked: once more, on a new one
    sent.transport = new_transport(*sent.request);
    return make_exchange(std::move(sent), false)->start();
  }
  if (!reply_) reply_.emplace();
  if (!take_whole_reply(bytes, sent.request->options().max_body_bytes, head_, *reply_)) {
    return make_exchange(std::move(sent), true)->go_on(bytes);
  }
  if (head_.keep_alive) keep(sent.key, std::move(sent.transport));
  call(sent.done, std::move(reply_));
}

/// Its handler comes with an error, then.
void FetchShard::end(Sent& sent, ClientResult result) {
  if (sent.ended) return;
  sent.ended = true;
  ErrorCode ignored;
  sent.transport->socket().close(ignored);
  call(sent.done, std::move(result));
}

void FetchShard::watch(Clock::time_point deadline) {
  if (deadline >= watched_) return;
  watched_ = deadline;
  late_.expires_at(deadline);
  late_.async_wait([this](const ErrorCode& cancelled) {
    if (!cancelled) end_late();
  });
}

void FetchShard::end_late() {
  const auto now = Clock::now();
  auto next = watched_ = Clock::time_point::max();
  for (Sent& sent : sent_) {
    if (sent.deadline > now) {
      next = std::min(next, sent.deadline);
    } else {
      end(sent, sent.request->too_late("waiting for the reply"));
    }
  }
  watch(next);
}

std::shared_ptr<Exchange> FetchShard::make_exchange(Sent sent, bool reused) {
  auto exchange = std::make_shared<Exchange>(
      *this, std::move(sent.transport), reused, std::move(sent.key), std::move(sent.request),
      sent.deadline, [this, done = std::move(sent.done)](Exchange* ended, ClientResult result) {
        call(done, std::move(result));
        const auto found = exchanges_.find(ended);
        if (found == exchanges_.end()) return;
        const std::shared_ptr<Exchange> last = std::move(found->second);
        exchanges_.erase(found);
      });
  exchanges_.emplace(exchange.get(), exchange);
  return exchange;
}

std::unique_ptr<Transport> FetchShard::new_transport(const Fetcher::Request& request) {
  std::shared_ptr<Transport::TlsContext> tls;
  if (request.parsed().tls) tls = request.options().tls->context();
  return std::make_unique<Transport>(StrandSocket(asio::make_strand(io_)), std::move(tls));
}

void FetchShard::resolve(const std::string& host, std::uint16_t port, Resolved resolved) {
  asio::post(resolvers_, [this, host, port, resolved = std::move(resolved)] {
    ErrorCode error;
    tcp::resolver resolver(io_);
    const auto found = resolver.resolve(host, std::to_string(port), error);
    if (error) return resolved(tl::unexpected(error.message()));
    Endpoints endpoints;
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
    resolved(std::move(endpoints));
  });
}

void FetchShard::keep(const std::string& key, std::unique_ptr<Transport> transport) {
  if (stopping_) return;
  auto& kept = idle_[key];
  if (kept.size() >= kIdlePerHost) kept.erase(kept.begin());
  kept.push_back({std::move(transport), Clock::now()});
}

/// Null when there is none.
std::unique_ptr<Transport> FetchShard::take_idle(const std::string& key) {
  const auto found = idle_.find(key);
  if (found == idle_.end()) return nullptr;
  std::unique_ptr<Transport> transport = std::move(found->second.back().transport);
  found->second.pop_back();
  if (found->second.empty()) idle_.erase(found);
  return transport;
}

void FetchShard::sweep() {
  sweeper_.expires_after(kSweepPeriod);
  sweeper_.async_wait([this](const ErrorCode& cancelled) {
    if (cancelled) return;
    const auto oldest = Clock::now() - kIdleTime;
    for (auto it = idle_.begin(); it != idle_.end();) {
      std::erase_if(it->second,
                    [&](Idle& i) { return i.since < oldest || is_dead(i.transport->socket()); });
      it = it->second.empty() ? idle_.erase(it) : std::next(it);
    }
    sweep();
  });
}

}  // namespace optipod::http
