// SPDX-License-Identifier: Apache-2.0
#include "common/http/exchange.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>

#include "common/http/gzip.hpp"
#include "common/http/tls_context.hpp"

namespace optipod::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::size_t kMaxHead = 32 * 1024;
constexpr std::size_t kInput = kMaxHead + 4 * 1024;
constexpr std::size_t kFirstBody = 64 * 1024;  ///< granted to a Content-Length unseen
constexpr int kMostInformational = 8;

}  // namespace

Exchange::Exchange(ExchangeHost& host, std::unique_ptr<Transport> transport, bool reused,
                   std::string key, std::shared_ptr<const Fetcher::Request> request,
                   std::chrono::steady_clock::time_point deadline, Done done)
    : host_(host),
      transport_(std::move(transport)),
      reused_(reused),
      key_(std::move(key)),
      request_(std::move(request)),
      parsed_(request_->parsed()),
      options_(request_->options()),
      deadline_(deadline),
      done_(std::move(done)),
      strand_(transport_->executor()),
      timer_(strand_) {}

void Exchange::arm_timer() {
  timer_.expires_at(deadline_);
  timer_.async_wait([self = shared_from_this()](const ErrorCode& cancelled) {
    if (!cancelled && !self->finished_) {
      self->finish(tl::unexpected(self->request_->too_late(self->doing_)));
    }
  });
}

void Exchange::start() {
  asio::post(strand_, [self = shared_from_this()] {
    if (self->finished_) return;
    self->arm_timer();
    self->request_->write(self->to_send_);
    self->reused_ ? self->send() : self->connect();
  });
}

void Exchange::go_on(std::string_view received) {
  in_.reserve(kInput);
  in_.append(received);
  received_ = true;
  doing_ = "waiting for the reply";
  asio::post(strand_, [self = shared_from_this()] {
    if (self->finished_) return;
    self->arm_timer();
    self->on_input({});
  });
}

void Exchange::post_cancel(std::string why) {
  asio::post(strand_, [self = shared_from_this(), why = std::move(why)] { self->fail(why); });
}

void Exchange::connect() {
  ErrorCode not_literal;
  const auto address = asio::ip::make_address(parsed_.host, not_literal);
  if (!not_literal) return connect_to({tcp::endpoint(address, parsed_.port)});
  doing_ = "resolving the host's name";
  host_.resolve(parsed_.host, parsed_.port,
                [self = shared_from_this()](tl::expected<ExchangeHost::Endpoints, std::string> r) {
                  asio::post(self->strand_, [self, r = std::move(r)] {
                    if (self->finished_) return;
                    if (!r) return self->fail("cannot resolve the host: " + r.error());
                    self->connect_to(*r);
                  });
                });
}

void Exchange::connect_to(const ExchangeHost::Endpoints& endpoints) {
  doing_ = "connecting";
  asio::async_connect(transport_->socket(), endpoints,
                      [self = shared_from_this()](const ErrorCode& error, const tcp::endpoint&) {
                        if (self->finished_) return;
                        if (error) return self->fail("cannot connect: " + error.message());
                        ErrorCode ignored;
                        self->transport_->socket().set_option(tcp::no_delay(true), ignored);
                        self->transport_->is_tls() ? self->shake_hands() : self->send();
                      });
}

void Exchange::shake_hands() {
  doing_ = "shaking hands (TLS)";
  const std::string& name = options_.tls->server_name();
  expect_name(transport_->ssl(), name.empty() ? parsed_.host : name);
  transport_->async_handshake(
      Transport::Handshake::client, [self = shared_from_this()](const ErrorCode& error) {
        if (self->finished_) return;
        if (error) return self->fail(describe_handshake_failure(self->transport_->ssl(), error));
        self->send();
      });
}

void Exchange::send() {
  doing_ = "sending the request";
  transport_->async_write(asio::buffer(to_send_),
                          [self = shared_from_this()](const ErrorCode& error, std::size_t) {
                            if (self->finished_) return;
                            if (error)
                              return self->connection_failed("cannot send: " + error.message());
                            self->doing_ = "waiting for the reply";
                            self->in_.reserve(kInput);
                            self->read_some();
                          });
}

void Exchange::read_some() {
  transport_->async_read_some(asio::buffer(in_.end(), in_.room()),
                              [self = shared_from_this()](const ErrorCode& error, std::size_t n) {
                                if (self->finished_) return;
                                self->in_.commit(n);
                                if (n > 0) self->received_ = true;
                                self->on_input(error);
                              });
}

void Exchange::on_input(const ErrorCode& error) {
  const bool in_body = head_.status != 0;
  const bool until_end = in_body && !chunks_ && !head_.content_length;
  if (error == asio::error::eof && until_end) return complete();
  if (error == asio::error::eof) return connection_failed("the peer closed the connection");
  if (error) return connection_failed("cannot receive: " + error.message());
  if (in_body) return feed_body();
  const std::size_t length = head_length(in_.view(), searched_);
  if (length != std::string_view::npos && length <= kMaxHead) return take_head(length);
  if (in_.size() >= kMaxHead) {
    return fail(fmt::format("head of the reply is longer than {} bytes", kMaxHead),
                Kind::kTooLarge);
  }
  searched_ = in_.size();
  read_some();
}

void Exchange::take_head(std::size_t length) {
  doing_ = "receiving the reply";
  const auto parsed = parse_response_head(in_.view().substr(0, length), head_);
  if (!parsed) return fail("malformed reply: " + parsed.error());
  if (head_.status / 100 == 1) {  // not the reply yet
    if (head_.status == 101 || ++informational_ > kMostInformational) {
      return fail(fmt::format("unexpected status {}", head_.status));
    }
    head_ = Head{};
    in_.consume(length);
    searched_ = 0;
    return on_input({});
  }
  response_.status = head_.status;
  response_.content_type = head_.field("Content-Type");
  const std::string_view encoding = head_.field("Content-Encoding");
  compressed_ = list_has_token(encoding, "gzip") || list_has_token(encoding, "x-gzip");
  if (!compressed_ && !encoding.empty() && !equals_no_case(encoding, "identity")) {
    return fail("reply in an encoding nobody asked for");
  }
  keep_alive_ = head_.keep_alive;
  begin_body(length);
}

void Exchange::begin_body(std::size_t length) {
  const std::size_t most = options_.max_body_bytes;
  head_.fields.clear();  // they point into in_, which goes on
  in_.consume(length);
  if (head_.status == 204 || head_.status == 304) head_.content_length = 0;
  if (head_.content_length && !head_.chunked) {
    if (*head_.content_length > most) {
      return fail(fmt::format("body of {} bytes is longer than {}", *head_.content_length, most),
                  Kind::kTooLarge);
    }
    const auto size = static_cast<std::size_t>(*head_.content_length);
    body_size_ = std::min(size, in_.size());
    response_.body.assign(in_.view().substr(0, body_size_));
    in_.consume(body_size_);
    return read_sized_body();
  }
  if (head_.chunked) chunks_.emplace(most);
  keep_alive_ = keep_alive_ && head_.chunked;
  feed_body();
}

void Exchange::read_sized_body() {
  const auto size = static_cast<std::size_t>(*head_.content_length);
  std::string& body = response_.body;
  if (body_size_ == size) {
    body.resize(size);
    return complete();
  }
  // Memory follows what has really come, at twice the pace.
  if (body_size_ == body.size()) {
    body.resize(std::min(size, std::max(kFirstBody, 2 * body_size_)));
  }
  transport_->async_read_some(
      asio::buffer(body.data() + body_size_, body.size() - body_size_),
      [self = shared_from_this()](const ErrorCode& error, std::size_t n) {
        if (self->finished_) return;
        if (error) {
          return self->connection_failed(error == asio::error::eof
                                             ? "the peer closed the connection in the body"
                                             : "cannot receive: " + error.message());
        }
        self->body_size_ += n;
        self->read_sized_body();
      });
}

/// A chunked body, or one that ends with the connection.
void Exchange::feed_body() {
  const std::size_t most = options_.max_body_bytes;
  std::string& body = response_.body;
  const auto too_long = [&] {
    fail(fmt::format("body is longer than {} bytes", most), Kind::kTooLarge);
  };
  if (!chunks_) {
    if (in_.size() > most - body.size()) return too_long();
    body.append(in_.view());
    in_.clear();
    return read_some();
  }
  std::size_t used = 0;
  const auto result =
      chunks_->feed(in_.view(), used, [&](std::string_view piece) { body.append(piece); });
  in_.consume(used);
  switch (result) {
    case ChunkedDecoder::Result::kNeedMore:
      return read_some();
    case ChunkedDecoder::Result::kDone:
      return complete();
    case ChunkedDecoder::Result::kTooLarge:
      return too_long();
    case ChunkedDecoder::Result::kMalformed:
      break;
  }
  fail("malformed chunk in the body");
}

/// A kept-alive connection may have died while nobody looked: then, and only when not a byte of a
/// reply has come, the request is made once more on a new one.
void Exchange::connection_failed(const std::string& what) {
  if (!reused_ || received_) return fail(what);
  reused_ = false;
  std::shared_ptr<Transport::TlsContext> tls;
  if (options_.tls && parsed_.tls) tls = options_.tls->context();
  transport_ = std::make_unique<Transport>(StrandSocket(strand_), std::move(tls));
  in_.clear();
  connect();
}

void Exchange::complete() {
  if (compressed_) {
    auto plain = gzip_decompress(response_.body, options_.max_body_bytes);
    if (!plain) {
      return fail(plain.error().what,
                  plain.error().too_large ? Kind::kTooLarge : Kind::kConnection);
    }
    response_.body = std::move(*plain);
  }
  // Bytes behind a complete reply belong to nothing we asked for.
  if (keep_alive_ && in_.size() == 0) {
    host_.keep(key_, std::move(transport_));
  }
  finish(std::move(response_));
}

void Exchange::fail(const std::string& why, Kind kind) {
  if (!finished_) finish(tl::unexpected(request_->failure(why, kind)));
}

void Exchange::finish(Result result) {
  if (finished_) return;
  finished_ = true;
  ErrorCode ignored;
  timer_.cancel();
  if (transport_) transport_->socket().close(ignored);
  done_(this, std::move(result));
}

}  // namespace optipod::http
