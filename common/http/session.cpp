// SPDX-License-Identifier: Apache-2.0
#include "common/http/session.hpp"

#include <array>
#include <charconv>
#include <ctime>
#include <exception>
#include <utility>

#include <spdlog/spdlog.h>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "common/http/gzip.hpp"
#include "common/http/percent.hpp"

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kReadSize = 16 * 1024;       ///< room behind the longest head
constexpr std::size_t kFirstBody = 64 * 1024;      ///< granted to a Content-Length unseen
constexpr std::size_t kKeepBuffers = 1024 * 1024;  ///< larger ones are freed after each request
constexpr std::size_t kSmallBuffers = 64 * 1024;   ///< larger ones are freed when idle for long
constexpr std::size_t kWorthGzip = 1400;           ///< one packet gains nothing
constexpr std::size_t kMostDrained = 8 * 1024 * 1024;
constexpr std::chrono::milliseconds kDrainTime{1'000};

std::string_view reason(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Unknown";
  }
}

/// "Sun, 06 Nov 1994 08:49:37 GMT", made once a second and thread.
std::string_view http_date() {
  thread_local std::time_t made_for = 0;
  thread_local std::array<char, 32> text{};
  thread_local std::size_t length = 0;
  const std::time_t now = std::time(nullptr);
  if (now != made_for) {
    std::tm tm{};
    gmtime_r(&now, &tm);
    length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    made_for = now;
  }
  return {text.data(), length};
}

void append_decimal(std::string& out, std::size_t value) {
  std::array<char, 24> text{};
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}

/// A handler's header must not be able to add a line.
void append_header(std::string& out, std::string_view name, std::string_view value) {
  const auto add = [&](std::string_view s) {
    for (const char c : s) out.push_back(static_cast<unsigned char>(c) < ' ' ? ' ' : c);
  };
  add(name);
  out.append(": ");
  add(value);
  out.append("\r\n");
}

std::int64_t ticks(SteadyTime time) {
  return time.time_since_epoch().count();
}
SteadyTime from_ticks(std::int64_t t) {
  return SteadyTime(SteadyTime::duration(t));
}

}  // namespace

Session::Session(StrandSocket socket, Shared& shared, std::function<void(Session*)> closed)
    : socket_(std::move(socket)), shared_(shared), closed_(std::move(closed)) {
  request_.header = [this](std::string_view name) { return head_.field(name); };
  idle_since_.store(ticks(Clock::now()), std::memory_order_relaxed);
  set_state(State::kIdle, shared_.limits.idle_timeout);
}

Session::~Session() = default;

SteadyTime Session::deadline() const {
  return from_ticks(deadline_.load(std::memory_order_relaxed));
}
SteadyTime Session::idle_since() const {
  return from_ticks(idle_since_.load(std::memory_order_relaxed));
}

void Session::set_state(State state, std::chrono::milliseconds time) {
  deadline_.store(ticks(Clock::now() + time), std::memory_order_relaxed);
  state_.store(state, std::memory_order_relaxed);
}

void Session::start() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    ErrorCode ignored;
    self->socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    self->socket_.non_blocking(true, ignored);
    self->next_request();
  });
}

void Session::refuse() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    ErrorCode ignored;
    self->socket_.non_blocking(true, ignored);
    self->fail(503);
  });
}

void Session::post_deadline() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->deadline() > Clock::now()) return;  // something happened meanwhile
    if (self->state() != State::kReading) return self->close();
    self->timed_out_ = true;  // the read in progress ends, and its handler says 408
    ErrorCode ignored;
    self->socket_.cancel(ignored);
  });
}

void Session::post_close_if_idle() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    const State state = self->state();
    const bool stopping = self->shared_.stopping.load() && state != State::kWriting;
    if (state == State::kIdle || stopping) return self->close();
    self->evicted.store(false);
  });
}

void Session::post_release_memory() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->state() != State::kIdle) return;
    self->memory_released.store(true, std::memory_order_relaxed);
    if (self->body_.capacity() > kSmallBuffers) self->body_.release();
    for (std::string* text : {&self->response_.body, &self->gzip_}) {
      if (text->capacity() > kSmallBuffers) std::string().swap(*text);
    }
  });
}

void Session::next_request() {
  searched_ = 0;
  memory_released.store(false, std::memory_order_relaxed);
  if (body_.capacity() > kKeepBuffers) body_.release();
  if (response_.body.capacity() > kKeepBuffers) std::string().swap(response_.body);
  if (gzip_.capacity() > kKeepBuffers) std::string().swap(gzip_);
  in_.reserve(shared_.limits.max_head_bytes + kReadSize);
  if (in_.size() > 0) {  // the peer did not wait for our reply
    set_state(State::kReading, shared_.limits.read_timeout);
    last_read_ = Clock::now();
    // Not in a loop: other connections have their turn first.
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
      if (self->state() != State::kClosed) self->process_input();
    });
    return;
  }
  idle_since_.store(ticks(Clock::now()), std::memory_order_relaxed);
  set_state(State::kIdle, shared_.limits.idle_timeout);
  read_some();
}

void Session::read_some() {
  socket_.async_read_some(asio::buffer(in_.end(), in_.room()),
                          [self = shared_from_this()](const ErrorCode& error, std::size_t n) {
                            self->on_read(error, n);
                          });
}

void Session::on_read(const ErrorCode& error, std::size_t n) {
  if (state() == State::kClosed) return;
  if (timed_out_) return fail(408);
  if (error) return close();
  last_read_ = Clock::now();
  in_.commit(n);
  if (state() == State::kIdle) set_state(State::kReading, shared_.limits.read_timeout);
  if (chunks_) return feed_chunks();
  process_input();
}

void Session::process_input() {
  // An empty line before a request is forgiven: some clients end a body with one.
  std::size_t blank = 0;
  while (blank + 1 < in_.size() && in_.data()[blank] == '\r' && in_.data()[blank + 1] == '\n') {
    blank += 2;
  }
  if (blank > 0) {
    in_.consume(blank);
    searched_ = 0;
  }
  const std::size_t length = head_length(in_.view(), searched_);
  const std::size_t most = shared_.limits.max_head_bytes;
  if (length == std::string_view::npos ? in_.size() >= most : length > most) return fail(431);
  if (length == std::string_view::npos) {
    searched_ = in_.size();
    return read_some();
  }
  take_head(length);
}

void Session::take_head(std::size_t length) {
  head_size_ = length;
  keep_alive_ = false;
  if (!parse_request_head(in_.view().substr(0, length), head_)) return fail(400);
  keep_alive_ = head_.keep_alive;
  if (!split_target()) return fail(400);
  begin_body(length);
}

bool Session::split_target() {
  std::string_view target = head_.target;
  if (!target.starts_with('/')) {  // http://host/path, as sent to a proxy
    const std::size_t scheme = target.find("://");
    if (scheme == std::string_view::npos) return false;
    const std::size_t path = target.find('/', scheme + 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  target = target.substr(0, target.find('#'));
  const std::size_t question = target.find('?');
  const bool has_query = question != std::string_view::npos;
  request_.query = has_query ? target.substr(question + 1) : std::string_view{};
  const std::string_view path = target.substr(0, question);
  if (path.find('%') == std::string_view::npos) {
    request_.path = path;
    return true;
  }
  path_.clear();
  if (!percent_decode(path, false, path_)) return false;
  request_.path = path_;
  return true;
}

void Session::begin_body(std::size_t head_length) {
  const std::size_t most = shared_.limits.max_body_bytes;
  body_.clear();
  body_.reserve(1);
  const std::string_view behind = in_.view().substr(head_length);
  if (head_.chunked) {
    if (behind.empty() && !send_continue()) return;
    chunks_.emplace(most);
    return feed_chunks();
  }
  const std::uint64_t length = head_.content_length.value_or(0);
  if (length > most) return fail(413);
  if (length > 0 && behind.empty() && !send_continue()) return;
  const std::size_t size = static_cast<std::size_t>(length);
  const std::size_t here = std::min(size, behind.size());
  body_.reserve(std::min(size, std::max(kFirstBody, here)));
  body_.append(behind.substr(0, here));
  if (here == size) return answer(head_length + here);
  in_.truncate(head_length);
  read_sized_body();
}

/// A peer with a large body asks first. False when the connection has ended.
bool Session::send_continue() {
  if (!list_has_token(head_.field("Expect"), "100-continue")) return true;
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  ErrorCode error;
  // It fits any socket buffer that is not full of earlier replies; such a peer does not read.
  const std::size_t n = socket_.write_some(asio::buffer(kContinue), error);
  if (!error && n == kContinue.size()) return true;
  close();
  return false;
}

/// Straight into its place. Memory follows what has really come, at twice the pace.
void Session::read_sized_body() {
  const std::size_t size = static_cast<std::size_t>(*head_.content_length);
  if (body_.room() == 0) body_.reserve(std::min(size, body_.size() * 2));
  const std::size_t room = std::min(body_.room(), size - body_.size());
  socket_.async_read_some(asio::buffer(body_.end(), room),
                          [self = shared_from_this(), size](const ErrorCode& error, std::size_t n) {
                            if (self->state() == State::kClosed) return;
                            if (self->timed_out_) return self->fail(408);
                            if (error) return self->close();
                            self->body_.commit(n);
                            if (self->body_.size() < size) return self->read_sized_body();
                            self->last_read_ = Clock::now();
                            self->answer(self->head_size_);
                          });
}

void Session::feed_chunks() {
  std::size_t used = 0;
  const auto result = chunks_->feed(in_.view().substr(head_size_), used,
                                    [this](std::string_view piece) { body_.append(piece); });
  switch (result) {
    case ChunkedDecoder::Result::kMalformed:
      return fail(400);
    case ChunkedDecoder::Result::kTooLarge:
      return fail(413);
    case ChunkedDecoder::Result::kNeedMore:
      in_.truncate(head_size_);  // all of it was consumed
      return read_some();
    case ChunkedDecoder::Result::kDone:
      break;
  }
  chunks_.reset();
  answer(head_size_ + used);
}

/// The request is complete; it took `used` bytes of in_.
void Session::answer(std::size_t used) {
  set_state(State::kWriting, shared_.limits.write_timeout);
  body_.pad();
  head_only_ = head_.method == "HEAD";
  run_handler(head_.method, body_.view());
  if (shared_.stopping.load(std::memory_order_relaxed)) keep_alive_ = false;

  out_body_ = response_.body;
  bool compressed = false;
  if (response_.gzip) {
    response_.headers.emplace_back("Vary", "Accept-Encoding");
    if (response_.body.size() >= kWorthGzip && accepts_gzip(head_.field("Accept-Encoding")) &&
        gzip_compress(response_.body, gzip_)) {
      response_.headers.emplace_back("Content-Encoding", "gzip");
      out_body_ = gzip_;
      compressed = true;
    }
  }
  if (!compressed) gzip_.clear();
  render_head();
  in_.consume(used);  // views into the head end here
  write_reply();
}

void Session::run_handler(std::string_view method, std::string_view body) {
  response_.status = 200;
  response_.content_type = "text/plain; charset=utf-8";
  response_.body.clear();
  response_.headers.clear();
  response_.gzip = false;
  const Router::Match match = shared_.router.find(method, request_.path);
  if (match.route == nullptr) {
    route_.clear();
    response_.status = match.allow.empty() ? 404 : 405;
    if (!match.allow.empty()) response_.headers.emplace_back("Allow", match.allow);
    return;
  }
  route_ = match.route->path;
  request_.method = method;
  request_.body = body;
  try {
    match.route->handler(request_, response_);
    return;
  } catch (const std::exception& error) {
    spdlog::error("{} {}: {}", method, match.route->path, error.what());
  } catch (...) {
    spdlog::error("{} {}: unknown exception", method, match.route->path);
  }
  response_.status = 500;
  response_.body.clear();
  response_.headers.clear();
  response_.gzip = false;
}

/// Ends the connection with a status of our own and no body.
void Session::fail(unsigned status) {
  timed_out_ = false;
  chunks_.reset();
  set_state(State::kWriting, shared_.limits.write_timeout);
  if (last_read_ == SteadyTime{}) last_read_ = Clock::now();
  keep_alive_ = false;
  linger_ = true;
  head_only_ = false;
  route_.clear();
  response_.status = status;
  response_.body.clear();
  response_.headers.clear();
  if (status == 503) response_.headers.emplace_back("Retry-After", "1");
  out_body_ = {};
  head_.version = 11;
  render_head();
  write_reply();
}

void Session::render_head() {
  out_head_.clear();
  out_head_.append("HTTP/1.1 ");
  append_decimal(out_head_, response_.status);
  out_head_.append(" ").append(reason(response_.status)).append("\r\nDate: ").append(http_date());
  out_head_.append("\r\nContent-Length: ");
  append_decimal(out_head_, out_body_.size());
  out_head_.append("\r\n");
  // Also of an empty page: a scraper refuses one without a type. Our own errors are bare.
  if (response_.status < 400 || !out_body_.empty()) {
    append_header(out_head_, "Content-Type", response_.content_type);
  }
  for (const auto& [name, value] : response_.headers) append_header(out_head_, name, value);
  if (!keep_alive_) {
    out_head_.append("Connection: close\r\n");
  } else if (head_.version == 10) {
    out_head_.append("Connection: keep-alive\r\n");
  }
  out_head_.append("\r\n");
}

void Session::write_reply() {
  if (head_only_) out_body_ = {};
  const std::array<asio::const_buffer, 2> reply{asio::buffer(out_head_),
                                                asio::buffer(out_body_.data(), out_body_.size())};
  ErrorCode error;
  const std::size_t n = socket_.write_some(reply, error);
  if (error && error != asio::error::would_block && error != asio::error::try_again) {
    return close();
  }
  const std::size_t written = error ? 0 : n;
  if (written == out_head_.size() + out_body_.size()) return on_written();
  write_rest(written);
}

void Session::write_rest(std::size_t written) {
  set_state(State::kWriting, shared_.limits.write_timeout);
  const std::size_t of_head = std::min(written, out_head_.size());
  const std::size_t of_body = written - of_head;
  const std::array<asio::const_buffer, 2> rest{
      asio::buffer(out_head_) + of_head,
      asio::buffer(out_body_.data(), out_body_.size()) + of_body};
  asio::async_write(socket_, rest,
                    [self = shared_from_this()](const ErrorCode& error, std::size_t) {
                      if (self->state() == State::kClosed) return;
                      if (error) return self->close();
                      self->on_written();
                    });
}

void Session::on_written() {
  if (shared_.observer) {
    try {
      shared_.observer(route_, response_.status, Clock::now() - last_read_);
    } catch (...) {
      spdlog::error("an observer of HTTP requests threw");
    }
  }
  if (linger_ || (!keep_alive_ && in_.size() > 0)) return drain();
  if (!keep_alive_) {
    ErrorCode ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    return close();
  }
  next_request();
}

void Session::drain() {
  if (drained_ == 0) {
    ErrorCode ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    set_state(State::kDraining, kDrainTime);
  }
  in_.clear();
  in_.reserve(kReadSize);
  socket_.async_read_some(asio::buffer(in_.end(), in_.room()),
                          [self = shared_from_this()](const ErrorCode& error, std::size_t n) {
                            if (self->state() == State::kClosed) return;
                            self->drained_ += n;
                            if (error || self->drained_ > kMostDrained) return self->close();
                            self->drain();
                          });
}

void Session::close() {
  if (state() == State::kClosed) return;
  state_.store(State::kClosed, std::memory_order_relaxed);
  ErrorCode ignored;
  socket_.close(ignored);
  closed_(this);
}

}  // namespace optipod::http
