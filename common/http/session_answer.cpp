// SPDX-License-Identifier: Apache-2.0
//
// From a whole request to the bytes of its reply: which handler, when, and on which thread.
#include <exception>

#include <spdlog/spdlog.h>
#include <boost/asio/post.hpp>

#include "common/http/session.hpp"
#include "common/http/tcp_socket.hpp"

namespace optipod::http {
namespace asio = boost::asio;

void Session::reset_response(unsigned status) {
  response_.status = status;
  response_.content_type = "text/plain; charset=utf-8";
  response_.body.clear();
  response_.headers.clear();
  response_.gzip = response_.gzipped = false;
  response_.more = nullptr;
  response_.afterwards = nullptr;
  write_until_ = {};
}

/// The request is whole. Until its reply is written no operation is pending on the strand, and what
/// is posted to it leaves the request and the response alone.
void Session::answer() {
  set_state(State::kAnswering, SteadyTime::max());
  shared_.web ? authenticate() : dispatch();
}

void Session::dispatch() {
  const Request& request = reader_.request();
  const Router::Match match = shared_.router.find(request.method, request.path);
  route_ = match.route;
  if (route_ == nullptr) {
    reset_response(match.allow.empty() ? 404 : 405);
    if (!match.allow.empty()) response_.headers.emplace_back("Allow", match.allow);
    render();
    return write_reply();
  }
  Lane& lane = shared_.lanes->of(route_->options);
  if (lane.try_enter()) return run();
  const Turn turn = lane.wait(last_read_, [self = shared_from_this()](Turn later) {
    asio::post(self->transport_.executor(), [self, later] { self->resume(later); });
  });
  if (turn == Turn::kRun) return run();
  if (turn != Turn::kWait) turn_away(turn);
}

/// The waiting has ended.
void Session::resume(Turn turn) {
  if (turn != Turn::kRun) return turn_away(turn);
  if (!peer_has_gone()) return run();
  shared_.lanes->of(route_->options).leave();
  close();
}

void Session::run() {
  if (route_->options.slow) {
    return shared_.workers.run(route_->path, [self = shared_from_this()] { self->run_slow(); });
  }
  {
    const LeaveLane leave{shared_.lanes->of(route_->options)};
    const Working working(*shared_.threads);
    call(route_->handler);
    render();
  }
  write_reply();
}

/// On a slow thread, the only one that touches the request and the response.
void Session::run_slow() {
  {
    const LeaveLane leave{shared_.lanes->of(route_->options)};
    call(route_->handler);
    render();
  }
  asio::post(transport_.executor(), [self = shared_from_this()] { self->write_reply(); });
}

void Session::turn_away(Turn turn) {
  TurnedAway& count = *route_->turned_away;
  if (turn == Turn::kQueueFull) count.queue_full.fetch_add(1, std::memory_order_relaxed);
  if (turn == Turn::kDeadline) count.deadline.fetch_add(1, std::memory_order_relaxed);
  if (route_->options.overloaded) {
    call(route_->options.overloaded);
  } else {
    reset_response(503);
    response_.headers.emplace_back("Retry-After", "1");
  }
  render();
  write_reply();
}

/// A client that has given up closes its connection. One that only ends its sending looks the same;
/// as other servers do, we take it for gone.
bool Session::peer_has_gone() {
  if (transport_.is_tls()) return tcp_peer_ended(transport_.socket().native_handle());
  char byte = 0;
  ErrorCode error;
  transport_.socket().receive(asio::buffer(&byte, 1), asio::socket_base::message_peek, error);
  return error && error != asio::error::would_block && error != asio::error::try_again;
}

void Session::call(const Handler& handler) {
  const Request& request = reader_.request();
  reset_response(200);
  try {
    handler(request, response_);
    return;
  } catch (const std::exception& error) {
    spdlog::error("{} {}: {}", request.method, route_->path, error.what());
  } catch (...) {
    spdlog::error("{} {}: unknown exception", request.method, route_->path);
  }
  reset_response(500);
}

/// The response becomes bytes; the request ends.
void Session::render() {
  const Head& head = reader_.head();
  if (config_) {
    response_.headers.insert(response_.headers.end(), config_->headers.begin(),
                             config_->headers.end());
  }
  const bool ends_with_connection = response_.more && head.version == 10;
  keep_alive_ =
      head.keep_alive && !ends_with_connection && !shared_.stopping.load(std::memory_order_relaxed);
  if (response_.more)
    write_until_ = std::chrono::steady_clock::now() + shared_.limits.write_timeout;
  reply_.render(response_, {.version = head.version,
                            .keep_alive = keep_alive_,
                            .head_only = head.method == "HEAD",
                            .accept_encoding = head.field("Accept-Encoding")});
  if (head.method == "HEAD") response_.more = nullptr;
  reader_.finish();
}

}  // namespace optipod::http
