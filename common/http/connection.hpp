// SPDX-License-Identifier: Apache-2.0
//
// One outgoing connection, plain or TLS, that its thread waits for: every wait ends at a deadline
// or a stop.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <tl/expected.hpp>

#include "common/http/url.hpp"

namespace optipod::http {

/// How long to wait, at the longest.
struct Patience {
  std::chrono::steady_clock::time_point deadline;
  std::stop_token stop;
  /// Where nothing has come yet, it is waited for only after so long: what comes bit by bit is then
  /// read at once, and the thread wakes once for all. 0: at once.
  std::chrono::milliseconds gather{0};
};

/// For one thread at a time. After an error it is closed for good.
class Connection {
 public:
  using TlsContext = boost::asio::ssl::context;

  /// `tls` null: plain. `server_name`: what its certificate must be for.
  Connection(std::shared_ptr<TlsContext> tls, std::string server_name);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Looks the host up, connects, and shakes hands.
  tl::expected<void, std::string> open(const Url& url, const Patience& patience);
  tl::expected<void, std::string> write(std::string_view bytes, const Patience& patience);
  /// At least one byte, or 0 at the end of the stream.
  tl::expected<std::size_t, std::string> read(char* into, std::size_t size,
                                              const Patience& patience);
  /// Of an idle connection: whether the peer has closed it, or said something unasked.
  [[nodiscard]] bool is_dead();

 private:
  using ErrorCode = boost::system::error_code;
  struct Ended {
    ErrorCode error;
    std::size_t size = 0;
  };

  tl::expected<void, std::string> shake_hands(const Patience& patience);
  template <class Start>
  Ended await(const Patience& patience, const Start& start,
              std::chrono::milliseconds gather = std::chrono::milliseconds(0));
  [[nodiscard]] static std::string describe(const char* what, const ErrorCode& error,
                                            const Patience& patience);

  std::shared_ptr<TlsContext> tls_;
  std::string server_name_;
  boost::asio::io_context io_{1};
  boost::asio::ip::tcp::socket socket_{io_};
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> stream_;
};

}  // namespace optipod::http
