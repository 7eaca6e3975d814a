// SPDX-License-Identifier: Apache-2.0
#include "common/http/fetch_shard.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <boost/asio/post.hpp>

#include "common/http/fetch_request.hpp"

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::size_t kIdlePerHost = 2;
constexpr std::chrono::seconds kIdleTime{120};  ///< longer than a common scrape interval
constexpr std::chrono::seconds kSweepPeriod{15};
constexpr std::size_t kBuffer = 256 * 1024;

void call(Fetcher::Receiver& receiver, Fetcher::Answer answer) {
  try {
    receiver.receive(std::move(answer));
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

FetchShard::FetchShard(asio::thread_pool& resolvers, std::size_t most_connections)
    : resolvers_(resolvers),
      most_connections_(most_connections),
      work_(io_.get_executor()),
      readable_(io_, standing_.descriptor()),
      late_(io_),
      sweeper_(io_),
      buffer_(std::make_unique_for_overwrite<char[]>(kBuffer)) {
  sweep();
  wait_for_replies();
  thread_ = std::thread([this] { run(); });
}

FetchShard::~FetchShard() {
  readable_.release();
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
    if (first) {
      asked_ = std::move(asks);
    } else {
      std::move(asks.begin(), asks.end(), std::back_inserter(asked_));
    }
  }
  if (first) asio::post(io_, [this] { begin_asked(); });
}

void FetchShard::cancel() {
  asio::post(io_, [this] {
    stopping_ = true;
    idle_.clear();
    standing_.close_idle();
    readable_.cancel();
    late_.cancel();
    sweeper_.cancel();
    standing_.for_each_busy([this](Standing::Connection& connection) {
      end(connection, connection.request->failure("cancelled"));
    });
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
  take_replies();  // what has come unasked ends its connection now, and is nobody's reply
  const auto now = Clock::now();
  for (std::size_t i = 0; i < asks.size(); ++i) {
    if (i + 2 < asks.size()) asks[i + 2].request->prefetch();
    if (i + 1 < asks.size()) standing_.prefetch(*asks[i + 1].request);
    begin(std::move(asks[i]), now);
  }
}

void FetchShard::begin(Fetcher::Ask ask, Clock::time_point now) {
  const Fetcher::Request& request = *ask.request;
  if (!request.error().empty()) return call(*ask.receiver, tl::unexpected(request.unasked()));
  if (stopping_) return call(*ask.receiver, tl::unexpected(request.failure("cancelled")));
  const auto deadline = now + request.options().timeout;
  if (!request.parsed().tls && send(ask, deadline)) return watch(deadline);
  std::unique_ptr<Transport> transport;
  if (request.parsed().tls) transport = take_idle(request.connection_key());
  const bool reused = transport != nullptr;
  if (!reused && connections() >= most_connections_) {
    const std::string why = fmt::format(
        "not asked: {} connections of this thread are open, and the limit on open files (ulimit "
        "-n) allows no more; raise it",
        connections());
    return call(*ask.receiver, tl::unexpected(request.failure(why)));
  }
  if (!reused) transport = new_transport(request);
  make_exchange(std::move(ask), deadline, std::move(transport), reused)->start();
}

/// Over a connection that stands; false when there is none.
bool FetchShard::send(Fetcher::Ask& ask, Clock::time_point deadline) {
  Standing::Connection* const connection = standing_.find(*ask.request);
  if (connection == nullptr) return false;
  if (sent_with_ != ask.request->shared_options()) {
    sent_with_ = ask.request->shared_options();
    header_lines_ = Fetcher::Request::header_lines(*sent_with_);
  }
  ask.request->write(to_send_, header_lines_);
  const ssize_t n =
      ::send(connection->socket(), to_send_.data(), to_send_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n != static_cast<ssize_t>(to_send_.size())) {  // it is gone; or it has taken nothing for long
    standing_.close(*connection);
    return false;
  }
  connection->request = std::move(ask.request);
  connection->receiver = std::move(ask.receiver);
  connection->time = deadline;
  return true;
}

void FetchShard::wait_for_replies() {
  readable_.async_wait(asio::posix::descriptor_base::wait_read, [this](const ErrorCode& error) {
    if (error || stopping_) return;
    take_replies();
    wait_for_replies();
  });
}

void FetchShard::take_replies() {
  standing_.drain([this](Standing::Connection& connection) { on_readable(connection); });
}

void FetchShard::on_readable(Standing::Connection& connection) {
  const ssize_t n = recv(connection.socket(), buffer_.get(), kBuffer, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  on_received(connection, {buffer_.get(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))});
}

void FetchShard::on_received(Standing::Connection& connection, std::string_view bytes) {
  Fetcher::Ask ask{std::move(connection.request), std::move(connection.receiver)};
  const auto reply = replies_.take(bytes, ask.request->options().max_body_bytes);
  if (reply) {
    if (!replies_.keep_alive()) standing_.close(connection);
    return call(*ask.receiver, *reply);
  }
  const auto deadline = connection.time;
  auto transport = plain_transport(standing_.release(connection));
  if (!bytes.empty()) {
    return make_exchange(std::move(ask), deadline, std::move(transport), true)->go_on(bytes);
  }
  // It died while nobody looked: once more, on a new one.
  transport = new_transport(*ask.request);
  make_exchange(std::move(ask), deadline, std::move(transport), false)->start();
}

void FetchShard::end(Standing::Connection& connection, ClientError why) {
  const auto receiver = std::move(connection.receiver);
  standing_.close(connection);
  call(*receiver, tl::unexpected(std::move(why)));
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
  standing_.for_each_busy([&](Standing::Connection& connection) {
    if (connection.time > now) {
      next = std::min(next, connection.time);
    } else {
      end(connection, connection.request->too_late("waiting for the reply"));
    }
  });
  watch(next);
}

std::shared_ptr<Exchange> FetchShard::make_exchange(Fetcher::Ask ask, Clock::time_point deadline,
                                                    std::unique_ptr<Transport> transport,
                                                    bool reused) {
  auto ended = [this, receiver = std::move(ask.receiver)](Exchange* exchange, ClientResult result) {
    if (result) {
      call(*receiver, Fetcher::Reply{.status = result->status,
                                     .content_type = result->content_type,
                                     .body = result->body});
    } else {
      call(*receiver, tl::unexpected(std::move(result.error())));
    }
    const auto found = exchanges_.find(exchange);
    if (found == exchanges_.end()) return;
    const std::shared_ptr<Exchange> last = std::move(found->second);
    exchanges_.erase(found);
  };
  std::string key = ask.request->connection_key();
  auto exchange = std::make_shared<Exchange>(*this, std::move(transport), reused, std::move(key),
                                             std::move(ask.request), deadline, std::move(ended));
  exchanges_.emplace(exchange.get(), exchange);
  return exchange;
}

std::unique_ptr<Transport> FetchShard::new_transport(const Fetcher::Request& request) {
  std::shared_ptr<Transport::TlsContext> tls;
  if (request.parsed().tls) tls = request.options().tls->context();
  return std::make_unique<Transport>(StrandSocket(asio::make_strand(io_)), std::move(tls));
}

std::unique_ptr<Transport> FetchShard::plain_transport(int socket) {
  StrandSocket adopted(asio::make_strand(io_));
  ErrorCode error;
  adopted.assign(tcp::v4(), socket, error);  // or v6: only what opens a socket asks which
  if (error) ::close(socket);                // who reads is told
  return std::make_unique<Transport>(std::move(adopted), nullptr);
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
  if (!transport->is_tls()) {
    ErrorCode error;
    const int socket = transport->socket().release(error);
    if (!error) standing_.add(key, socket, Clock::now());
    return;
  }
  auto& kept = idle_[key];
  if (kept.size() >= kIdlePerHost) {
    kept.erase(kept.begin());
    --idle_size_;
  }
  kept.push_back({std::move(transport), Clock::now()});
  ++idle_size_;
}

/// Null when there is none.
std::unique_ptr<Transport> FetchShard::take_idle(const std::string& key) {
  const auto found = idle_.find(key);
  if (found == idle_.end()) return nullptr;
  std::unique_ptr<Transport> transport = std::move(found->second.back().transport);
  found->second.pop_back();
  --idle_size_;
  if (found->second.empty()) idle_.erase(found);
  return transport;
}

void FetchShard::sweep() {
  sweeper_.expires_after(kSweepPeriod);
  sweeper_.async_wait([this](const ErrorCode& cancelled) {
    if (cancelled) return;
    const auto oldest = Clock::now() - kIdleTime;
    standing_.close_idle(oldest);
    for (auto it = idle_.begin(); it != idle_.end();) {
      idle_size_ -= std::erase_if(
          it->second, [&](Idle& i) { return i.since < oldest || is_dead(i.transport->socket()); });
      it = it->second.empty() ? idle_.erase(it) : std::next(it);
    }
    sweep();
  });
}

}  // namespace optipod::http
