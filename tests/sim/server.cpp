// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/server.hpp"

#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <boost/asio.hpp>

namespace optipod::sim {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::size_t kLastOctets = 254;  // 1..254
constexpr std::size_t kMaxHead = 16 * 1024;

std::size_t node_of(const asio::ip::address_v4& address) {
  const auto bytes = address.to_bytes();
  if (bytes[1] == 0 || bytes[2] == 0 || bytes[3] == 0) return kMaxNodes;
  return ((bytes[1] - 1U) * kLastOctets + (bytes[2] - 1U)) * kLastOctets + (bytes[3] - 1U);
}

}  // namespace

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string address_of(std::size_t node) {
  return fmt::format("127.{}.{}.{}", 1 + node / kLastOctets / kLastOctets,
                     1 + node / kLastOctets % kLastOctets, 1 + node % kLastOctets);
}

struct Server::State {
  State(ServerOptions o, Page p) : options(o), page(std::move(p)) {}

  class Session;
  void accept();

  const ServerOptions options;
  Page page;
  std::string head;
  std::uint64_t served = 0;
  asio::io_context context{1};
  tcp::acceptor acceptor{context};
};

/// A connection. Nothing is kept for it while it is idle: requests are read into a buffer that all
/// share, and a page goes into the socket's own buffer, where it almost always fits.
class Server::State::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, State& state) : socket_(std::move(socket)), state_(state) {
    boost::system::error_code error;
    socket_.non_blocking(true, error);
    socket_.set_option(tcp::no_delay(true), error);
    if (const auto local = socket_.local_endpoint(error); !error && local.address().is_v4()) {
      node_ = node_of(local.address().to_v4());
    }
  }

  void wait() {
    socket_.async_wait(tcp::socket::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         if (!error) self->read();
                       });
  }

 private:
  void read() {
    static std::array<char, kMaxHead> buffer;
    boost::system::error_code error;
    const std::size_t got = socket_.read_some(asio::buffer(buffer), error);
    if (error == asio::error::would_block) return wait();
    if (error) return;
    std::string_view text(buffer.data(), got);
    if (!begun_.empty()) text = begun_.append(text);
    while (true) {
      const auto end = text.find("\r\n\r\n");
      if (end == std::string_view::npos) break;
      if (!answer(text.substr(0, end))) return;
      text.remove_prefix(end + 4);
    }
    if (text.size() > kMaxHead) return;  // not a scraper: the connection ends here
    begun_ = std::string(text);
    if (rest_.empty()) {
      wait();
    } else {
      flush();
    }
  }

  /// False when the connection is to end.
  bool answer(std::string_view request) {
    if (!request.starts_with("GET ") || node_ >= state_.options.nodes) {
      send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", {});
      return true;
    }
    ++state_.served;
    return send(state_.head, state_.page.at(node_, state_.options.clock.at(unix_ms())));
  }

  bool send(std::string_view head, std::string_view body) {
    std::size_t sent = 0;
    if (rest_.empty()) {
      boost::system::error_code error;
      sent = socket_.write_some(std::array{asio::buffer(head), asio::buffer(body)}, error);
      if (error && error != asio::error::would_block) return false;
    }
    if (sent < head.size()) rest_.append(head.substr(sent));
    rest_.append(body.substr(sent > head.size() ? sent - head.size() : 0));
    return rest_.size() <= 64 * 1024 * 1024;  // who asks on without reading is cut off
  }

  void flush() {
    asio::async_write(
        socket_, asio::buffer(rest_),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
          if (error) return;
          self->rest_ = {};
          self->wait();
        });
  }

  tcp::socket socket_;
  State& state_;
  std::size_t node_ = kMaxNodes;
  std::string begun_, rest_;  ///< of a request that is not complete; of an answer not taken yet
};

void Server::State::accept() {
  acceptor.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
    if (!error) std::make_shared<Session>(std::move(socket), *this)->wait();
    if (error != asio::error::operation_aborted) accept();
  });
}

tl::expected<std::unique_ptr<Server>, std::string> Server::listen(ServerOptions options,
                                                                  Page page) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const std::size_t need = options.nodes * 2 + 64;  // two scrapers each
    if (files.rlim_cur < need) {
      return tl::unexpected(fmt::format(
          "{} nodes need {} open files and only {} are allowed: ulimit -n {}, or fewer --nodes",
          options.nodes, need, files.rlim_cur, need));
    }
  }
  auto state = std::make_unique<State>(options, std::move(page));
  state->head = fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
      "Content-Length: {}\r\n\r\n",
      state->page.bytes());
  // All addresses of loopback, and of nothing else.
  const auto bad = [&](const char* what, const std::string& why) {
    return tl::unexpected(
        fmt::format("port {}: {}: {}; choose another with --port", options.port, what, why));
  };
  boost::system::error_code error;
  state->acceptor.open(tcp::v4(), error);
  if (error) return bad("no socket", error.message());
  state->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (setsockopt(state->acceptor.native_handle(), SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) != 0) {
    return bad("cannot stay on loopback", std::strerror(errno));
  }
  state->acceptor.bind({tcp::v4(), options.port}, error);
  if (error) return bad("cannot listen", error.message());
  state->acceptor.listen(65'535, error);
  if (error) return bad("cannot listen", error.message());
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() = default;

void Server::run() {
  state_->accept();
  state_->context.run();
}

void Server::stop() {
  state_->context.stop();
}

std::uint64_t Server::pages() const {
  return state_->served;
}

}  // namespace optipod::sim
