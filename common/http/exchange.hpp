// SPDX-License-Identifier: Apache-2.0
//
// One outgoing request of a Fetcher, from the name of a host to the last byte of the reply. All of
// it runs on the strand of its socket.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/http/buffer.hpp"
#include "common/http/chunked.hpp"
#include "common/http/client.hpp"
#include "common/http/fetch_request.hpp"
#include "common/http/head.hpp"
#include "common/http/transport.hpp"

namespace optipod::http {

/// What an exchange asks of its Fetcher.
class ExchangeHost {
 public:
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;
  using Resolved = std::function<void(tl::expected<Endpoints, std::string>)>;
  virtual ~ExchangeHost() = default;
  /// Looks a name up on a thread that may block, and calls back there.
  virtual void resolve(const std::string& host, std::uint16_t port, Resolved resolved) = 0;
  /// Takes back a connection that can serve another request.
  virtual void keep(const std::string& key, std::unique_ptr<Transport> transport) = 0;
};

class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  using Result = ClientResult;
  /// Called once, on the strand.
  using Done = std::function<void(Exchange*, Result)>;

  /// `transport` is connected already, and has shaken hands, when `reused`; `key` is whom it may
  /// serve. `request` has no error().
  Exchange(ExchangeHost& host, std::unique_ptr<Transport> transport, bool reused, std::string key,
           std::shared_ptr<const Fetcher::Request> request,
           std::chrono::steady_clock::time_point deadline, Done done);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  void start();
  /// Instead of start(): the request has been sent, and this is how the reply begins.
  void go_on(std::string_view received);
  void post_cancel(std::string why);

 private:
  using ErrorCode = boost::system::error_code;
  using Kind = ClientError::Kind;

  void arm_timer();
  void connect();
  void connect_to(const ExchangeHost::Endpoints& endpoints);
  void shake_hands();
  void send();
  void read_some();
  void on_input(const ErrorCode& error);
  void take_head(std::size_t length);
  void begin_body(std::size_t length);
  void read_sized_body();
  void feed_body();
  void connection_failed(const std::string& what);
  void complete();
  void finish(Result result);
  void fail(const std::string& why, Kind kind = Kind::kConnection);

  ExchangeHost& host_;
  std::unique_ptr<Transport> transport_;  ///< null once it was given back
  bool reused_;
  std::string key_;
  std::shared_ptr<const Fetcher::Request> request_;
  const Url& parsed_;  ///< of request_, as the options
  const ClientOptions& options_;
  std::chrono::steady_clock::time_point deadline_;
  Done done_;
  Strand strand_;
  boost::asio::steady_timer timer_;

  bool finished_ = false;
  const char* doing_ = "connecting";
  std::string to_send_;
  Buffer<0> in_;
  std::size_t searched_ = 0;
  bool received_ = false;  ///< any byte of the reply
  int informational_ = 0;  ///< 1xx replies before the real one
  Head head_;
  std::size_t body_size_ = 0;  ///< received of a body with Content-Length
  std::optional<ChunkedDecoder> chunks_;
  bool keep_alive_ = false, compressed_ = false;
  ClientResponse response_;
};

}  // namespace optipod::http
