// SPDX-License-Identifier: Apache-2.0
#include "common/http/connection.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/write.hpp>

#include "common/http/resolve.hpp"
#include "common/http/tls_context.hpp"

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using Clock = std::chrono::steady_clock;

/// A host that vanished without a word is noticed after about half a minute also where no byte is
/// due for longer.
void watch_the_peer(tcp::socket& socket) {
  constexpr int kIdle = 15;
  constexpr int kInterval = 5;
  constexpr int kProbes = 3;
  constexpr unsigned kUnacknowledgedMs = 30'000;
  ErrorCode ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const int fd = socket.native_handle();
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kIdle, sizeof kIdle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kInterval, sizeof kInterval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof kProbes);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMs, sizeof kUnacknowledgedMs);
}

}  // namespace

Connection::Connection(std::shared_ptr<TlsContext> tls, std::string server_name)
    : tls_(std::move(tls)), server_name_(std::move(server_name)) {}

Connection::~Connection() = default;

/// Runs one asynchronous operation to its end, which a deadline or a stop hastens. If it has not
/// ended at once, its end is looked for after `gather`.
template <class Start>
Connection::Ended Connection::await(const Patience& patience, const Start& start,
                                    std::chrono::milliseconds gather) {
  bool done = false;
  Ended ended;
  io_.restart();
  start([&](const ErrorCode& error, std::size_t size) {
    done = true;
    ended = {error, size};
  });
  const std::stop_callback wake(patience.stop, [this] { asio::post(io_, [] {}); });
  if (gather.count() > 0) {
    io_.poll();
    if (!done) std::this_thread::sleep_until(std::min(Clock::now() + gather, patience.deadline));
  }
  while (!done && !patience.stop.stop_requested() && Clock::now() < patience.deadline) {
    io_.run_one_until(patience.deadline);
  }
  if (done) return ended;
  ErrorCode ignored;
  socket_.close(ignored);
  while (!done) {  // NOLINT(bugprone-infinite-loop): the handler that run_one() calls ends it
    io_.restart();
    io_.run_one();
  }
  return {asio::error::timed_out, 0};
}

std::string Connection::describe(const char* what, const ErrorCode& error,
                                 const Patience& patience) {
  if (patience.stop.stop_requested()) return "stopped";
  if (error == asio::error::timed_out && Clock::now() >= patience.deadline) {
    return std::string("time is up while ") + what;
  }
  return std::string(what) + ": " + error.message();
}

tl::expected<void, std::string> Connection::open(const Url& url, const Patience& patience) {
  const auto endpoints = resolve(url.host, url.port, patience.deadline, patience.stop);
  if (patience.stop.stop_requested()) return tl::unexpected(std::string("stopped"));
  if (!endpoints) return tl::unexpected("cannot resolve the host: " + endpoints.error());
  const Ended ended = await(patience, [&](auto done) {
    asio::async_connect(socket_, *endpoints,
                        [done](const ErrorCode& error, const tcp::endpoint&) { done(error, 0); });
  });
  if (ended.error) return tl::unexpected(describe("connecting", ended.error, patience));
  watch_the_peer(socket_);
  return tls_ ? shake_hands(patience) : tl::expected<void, std::string>();
}

tl::expected<void, std::string> Connection::shake_hands(const Patience& patience) {
  stream_.emplace(socket_, *tls_);
  expect_name(stream_->native_handle(), server_name_);
  const Ended ended = await(patience, [&](auto done) {
    stream_->async_handshake(asio::ssl::stream_base::client,
                             [done](const ErrorCode& error) { done(error, 0); });
  });
  if (!ended.error) return {};
  if (ended.error == asio::error::timed_out) {
    return tl::unexpected(describe("shaking hands (TLS)", ended.error, patience));
  }
  return tl::unexpected(describe_handshake_failure(stream_->native_handle(), ended.error));
}

tl::expected<void, std::string> Connection::write(std::string_view bytes,
                                                  const Patience& patience) {
  const auto buffer = asio::buffer(bytes.data(), bytes.size());
  const Ended ended = await(patience, [&](auto done) {
    stream_ ? asio::async_write(*stream_, buffer, done) : asio::async_write(socket_, buffer, done);
  });
  if (ended.error) return tl::unexpected(describe("sending", ended.error, patience));
  return {};
}

tl::expected<std::size_t, std::string> Connection::read(char* into, std::size_t size,
                                                        const Patience& patience) {
  const auto buffer = asio::buffer(into, size);
  const Ended ended = await(
      patience,
      [&](auto done) {
        stream_ ? stream_->async_read_some(buffer, done) : socket_.async_read_some(buffer, done);
      },
      patience.gather);
  if (ended.error == asio::error::eof) return 0;
  // TLS without its closing message: whether the peer meant to end here is not known.
  if (ended.error == asio::ssl::error::stream_truncated) {
    return tl::unexpected(std::string("the connection broke off"));
  }
  if (ended.error) return tl::unexpected(describe("receiving", ended.error, patience));
  return ended.size;
}

bool Connection::is_dead() {
  char byte = 0;
  const ssize_t n = recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

}  // namespace optipod::http
