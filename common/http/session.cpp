// SPDX-License-Identifier: Apache-2.0
#include "common/http/session.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include <spdlog/spdlog.h>
#include <boost/asio/post.hpp>

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kKeepReply = 1024 * 1024;  ///< a larger one is freed after each request
constexpr std::size_t kSmallReply = 64 * 1024;   ///< a larger one is freed when idle for long
constexpr std::size_t kMostDrained = 8 * 1024 * 1024;
constexpr std::chrono::milliseconds kDrainTime{1'000};

std::int64_t ticks(SteadyTime time) {
  return time.time_since_epoch().count();
}
SteadyTime from_ticks(std::int64_t t) {
  return SteadyTime(SteadyTime::duration(t));
}

asio::mutable_buffer buffer(std::span<char> room) {
  return {room.data(), room.size()};
}

}  // namespace

Session::Session(StrandSocket socket, std::shared_ptr<TlsServer> tls, Shared& shared,
                 std::function<void(Session*)> closed)
    : tls_(std::move(tls)),
      transport_(std::move(socket), {tls_, tls_ ? &tls_->context() : nullptr}),
      shared_(shared),
      closed_(std::move(closed)),
      reader_(shared.limits.max_head_bytes, shared.limits.max_body_bytes),
      body_share_(shared.body_bytes, shared.limits.max_all_bodies_bytes) {
  idle_since_.store(ticks(Clock::now()), std::memory_order_relaxed);
  set_state(State::kIdle, shared_.limits.idle_timeout);
}

Session::~Session() {
  if (state() != State::kClosed) closed_(this);  // an exception on the strand took it away
}

// ---- From any thread ---------------------------------------------------------------------------

SteadyTime Session::deadline() const {
  return from_ticks(deadline_.load(std::memory_order_relaxed));
}
SteadyTime Session::idle_since() const {
  return from_ticks(idle_since_.load(std::memory_order_relaxed));
}

void Session::start() {
  asio::post(transport_.executor(), [self = shared_from_this()] {
    ErrorCode ignored;
    self->transport_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    self->transport_.socket().non_blocking(true, ignored);
    self->transport_.is_tls() ? self->shake_hands() : self->next_request();
  });
}

void Session::refuse() {
  asio::post(transport_.executor(), [self = shared_from_this()] {
    if (self->transport_.is_tls()) return self->close();
    ErrorCode ignored;
    self->transport_.socket().non_blocking(true, ignored);
    self->fail(503);
  });
}

void Session::post_deadline() {
  asio::post(transport_.executor(), [self = shared_from_this()] {
    if (self->deadline() > Clock::now()) return;  // something happened meanwhile
    if (self->state() != State::kReading) return self->close();
    self->timed_out_ = true;  // the read in progress ends, and its handler says 408
    ErrorCode ignored;
    self->transport_.socket().cancel(ignored);
  });
}

void Session::post_close_if_idle() {
  asio::post(transport_.executor(), [self = shared_from_this()] {
    const State state = self->state();
    const bool answers = state == State::kAnswering || state == State::kWriting;
    const bool stopping = self->shared_.stopping.load() && !answers;
    if (state == State::kIdle || stopping) return self->close();
    self->evicted.store(false);
  });
}

void Session::post_release_memory() {
  asio::post(transport_.executor(), [self = shared_from_this()] {
    if (self->state() != State::kIdle) return;
    self->memory_released.store(true, std::memory_order_relaxed);
    self->reader_.release_memory();
    self->body_share_.hold(self->reader_.body_memory());
    self->release_reply(kSmallReply);
  });
}

// ---- Reading -----------------------------------------------------------------------------------

void Session::set_state(State state, SteadyTime deadline) {
  deadline_.store(ticks(deadline), std::memory_order_relaxed);
  state_.store(state, std::memory_order_relaxed);
}
void Session::set_state(State state, std::chrono::milliseconds time) {
  set_state(state, Clock::now() + time);
}

/// As long as that takes the connection is as good as idle: it goes first when room is needed.
void Session::shake_hands() {
  set_state(State::kIdle, shared_.limits.read_timeout);
  transport_.async_handshake(Transport::Handshake::server,
                             [self = shared_from_this()](const ErrorCode& error) {
                               if (self->state() == State::kClosed) return;
                               if (error || !self->tls_->admits(self->transport_.ssl()))
                                 return self->close();
                               self->next_request();
                             });
}

void Session::next_request() {
  memory_released.store(false, std::memory_order_relaxed);
  reader_.begin();
  body_share_.hold(reader_.body_memory());
  release_reply(kKeepReply);
  if (reader_.has_input()) {  // the peer did not wait for our reply
    set_state(State::kReading, shared_.limits.read_timeout);
    last_read_ = Clock::now();
    // Not in a loop: other connections have their turn first.
    asio::post(transport_.executor(), [self = shared_from_this()] {
      if (self->state() != State::kClosed) self->go_on(self->reader_.commit(0));
    });
    return;
  }
  idle_since_.store(ticks(Clock::now()), std::memory_order_relaxed);
  set_state(State::kIdle, shared_.limits.idle_timeout);
  read_some();
}

void Session::read_some() {
  transport_.async_read_some(buffer(reader_.room()),
                             [self = shared_from_this()](const ErrorCode& error, std::size_t n) {
                               self->on_read(error, n);
                             });
}

void Session::on_read(const ErrorCode& error, std::size_t n) {
  if (state() == State::kClosed) return;
  if (timed_out_) return fail(408);
  if (error) return close();
  last_read_ = Clock::now();
  if (state() == State::kIdle) set_state(State::kReading, shared_.limits.read_timeout);
  go_on(reader_.commit(n));
}

void Session::go_on(RequestReader::Step step) {
  if (!body_share_.hold(reader_.body_memory())) return fail(503);
  switch (step) {
    case RequestReader::Step::kContinue:
      return send_continue();
    case RequestReader::Step::kMore:
      return read_some();
    case RequestReader::Step::kComplete:
      return answer();
    case RequestReader::Step::kFailed:
      return fail(reader_.status());
  }
}

void Session::send_continue() {
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  if (transport_.is_tls()) {
    return transport_.async_write(asio::buffer(kContinue),
                                  [self = shared_from_this()](const ErrorCode& error, std::size_t) {
                                    if (self->state() == State::kClosed) return;
                                    error ? self->close() : self->read_some();
                                  });
  }
  ErrorCode error;
  // It fits any socket buffer that is not full of earlier replies; such a peer does not read.
  const std::size_t n = transport_.write_some(asio::buffer(kContinue), error);
  !error&& n == kContinue.size() ? read_some() : close();
}

// ---- Writing -----------------------------------------------------------------------------------

/// Ends the connection with a status of our own and no body.
void Session::fail(unsigned status) {
  timed_out_ = false;
  set_state(State::kWriting, shared_.limits.write_timeout);
  if (last_read_ == SteadyTime{}) last_read_ = Clock::now();
  keep_alive_ = false;
  linger_ = true;
  route_ = nullptr;
  reset_response(status);
  if (status == 503) response_.headers.emplace_back("Retry-After", "1");
  reply_.render(response_, {});
  write_reply();
}

void Session::write_reply() {
  const std::array<asio::const_buffer, 3> all{
      asio::buffer(reply_.head()), asio::buffer(reply_.body()), asio::buffer(reply_.tail())};
  ErrorCode error;
  const std::size_t n = transport_.write_some(all, error);
  if (error && error != asio::error::would_block && error != asio::error::try_again) {
    call_afterwards();
    return close();
  }
  const std::size_t written = error ? 0 : n;
  const bool whole = written == reply_.size();
  whole ? void(written_ = Clock::now()) : write_rest(written);
  call_afterwards();
  if (whole) on_written();
}

void Session::call_afterwards() {
  if (!response_.afterwards) return;
  const Working working(*shared_.threads);
  try {
    std::exchange(response_.afterwards, nullptr)();
  } catch (const std::exception& error) {
    spdlog::error("{}, after the reply: {}", route_->path, error.what());
  } catch (...) {
    spdlog::error("{}, after the reply: unknown exception", route_->path);
  }
}

void Session::write_rest(std::size_t written) {
  if (response_.more || write_until_ != SteadyTime{}) {
    set_state(State::kWriting, write_until_);
  } else {
    set_state(State::kWriting, shared_.limits.write_timeout);
  }
  std::array<asio::const_buffer, 3> rest{asio::buffer(reply_.head()), asio::buffer(reply_.body()),
                                         asio::buffer(reply_.tail())};
  for (asio::const_buffer& part : rest) {
    const std::size_t n = std::min(written, part.size());
    part += n;
    written -= n;
  }
  transport_.async_write(rest, [self = shared_from_this()](const ErrorCode& error, std::size_t) {
    if (self->state() == State::kClosed) return;
    if (error) return self->close();
    self->written_ = Clock::now();
    self->on_written();
  });
}

/// Behind what else waits on the strand's threads: other connections have their turn first.
void Session::write_next_piece() {
  asio::post(transport_.executor(), [self = shared_from_this()] {
    if (self->state() == State::kClosed) return;
    self->make_next_piece() ? self->write_reply() : self->close();
  });
}

bool Session::make_next_piece() {
  const Working working(*shared_.threads);
  try {
    if (!response_.more(response_.body)) response_.more = nullptr;  // and all that it holds
    if (reply_.render_piece(response_)) return true;
    spdlog::error("{}: the reply cannot be compressed", route_->path);
  } catch (const std::exception& error) {
    spdlog::error("{}, in the middle of the reply: {}", route_->path, error.what());
  } catch (...) {
    spdlog::error("{}, in the middle of the reply: unknown exception", route_->path);
  }
  return false;
}

void Session::on_written() {
  if (response_.more) return write_next_piece();
  if (shared_.observer) {
    const std::string_view route = route_ == nullptr ? std::string_view() : route_->path;
    try {
      shared_.observer(route, response_.status, written_ - last_read_);
    } catch (...) {
      spdlog::error("an observer of HTTP requests threw");
    }
  }
  // The server may have begun to stop since the reply was made.
  const bool ends = !keep_alive_ || shared_.stopping.load(std::memory_order_relaxed);
  if (linger_ || (ends && (reader_.has_input() || transport_.is_tls()))) return drain();
  if (ends) {
    ErrorCode ignored;
    transport_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    return close();
  }
  next_request();
}

void Session::release_reply(std::size_t most) {
  reply_.release_memory(most);
  if (response_.body.capacity() > most) std::string().swap(response_.body);
}

// ---- Ending ------------------------------------------------------------------------------------

void Session::drain() {
  set_state(State::kDraining, kDrainTime);
  if (!transport_.is_tls()) return end_sending();
  transport_.async_shutdown([self = shared_from_this()](const ErrorCode&) {
    if (self->state() != State::kClosed) self->end_sending();
  });
}

void Session::end_sending() {
  ErrorCode ignored;
  transport_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  discard_some();
}

/// Of what comes, encrypted or not.
void Session::discard_some() {
  const std::span<char> room = reader_.discard();
  body_share_.hold(reader_.body_memory());
  transport_.socket().async_read_some(
      buffer(room), [self = shared_from_this()](const ErrorCode& error, std::size_t n) {
        if (self->state() == State::kClosed) return;
        self->drained_ += n;
        if (error || self->drained_ > kMostDrained) return self->close();
        self->discard_some();
      });
}

void Session::close() {
  if (state() == State::kClosed) return;
  state_.store(State::kClosed, std::memory_order_relaxed);
  ErrorCode ignored;
  transport_.socket().close(ignored);
  closed_(this);
}

}  // namespace optipod::http
