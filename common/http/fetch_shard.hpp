// SPDX-License-Identifier: Apache-2.0
//
// One thread of a Fetcher, and all that is its own: connections, requests under way, buffers. A GET
// over a plain connection that stands is sent at once, and its reply, which usually comes whole, is
// received into a buffer that all share, and looked at there; whatever else it needs is an
// Exchange's to do.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "common/http/client.hpp"
#include "common/http/exchange.hpp"
#include "common/http/standing.hpp"
#include "common/http/transport.hpp"
#include "common/http/whole_reply.hpp"

namespace optipod::http {

class FetchShard final : public ExchangeHost {
 public:
  /// Names are looked up on `resolvers`, which outlives it. With `most_connections` open, what
  /// would need one more ends at once.
  FetchShard(boost::asio::thread_pool& resolvers, std::size_t most_connections);
  ~FetchShard() override;
  FetchShard(const FetchShard&) = delete;
  FetchShard& operator=(const FetchShard&) = delete;

  /// From any thread.
  void ask(std::vector<Fetcher::Ask> asks);
  /// Ends what is under way, and what is asked from now on, as cancelled. From any thread.
  void cancel();
  /// After cancel(), when no name is being looked up.
  void join();

  void resolve(const std::string& host, std::uint16_t port, Resolved resolved) override;
  void keep(const std::string& key, std::unique_ptr<Transport> transport) override;

 private:
  using Clock = std::chrono::steady_clock;
  using ErrorCode = boost::system::error_code;
  /// At rest, over TLS.
  struct Idle {
    std::unique_ptr<Transport> transport;
    Clock::time_point since;
  };

  void run();
  void begin_asked();
  void begin(Fetcher::Ask ask, Clock::time_point now);
  [[nodiscard]] std::size_t connections() const {
    return standing_.size() + exchanges_.size() + idle_size_;
  }
  bool send(Fetcher::Ask& ask, Clock::time_point deadline);
  void wait_for_replies();
  void take_replies();
  void on_readable(Standing::Connection& connection);
  void on_received(Standing::Connection& connection, std::string_view bytes);
  void end(Standing::Connection& connection, ClientError why);
  void end_late();
  void watch(Clock::time_point deadline);
  std::shared_ptr<Exchange> make_exchange(Fetcher::Ask ask, Clock::time_point deadline,
                                          std::unique_ptr<Transport> transport, bool reused);
  std::unique_ptr<Transport> new_transport(const Fetcher::Request& request);
  std::unique_ptr<Transport> plain_transport(int socket);
  std::unique_ptr<Transport> take_idle(const std::string& key);
  void sweep();

  boost::asio::thread_pool& resolvers_;
  const std::size_t most_connections_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;

  std::mutex mutex_;
  std::vector<Fetcher::Ask> asked_;  ///< under mutex_: to begin

  // The thread's only:
  bool stopping_ = false;
  Standing standing_;
  boost::asio::posix::stream_descriptor readable_;           ///< standing_'s, which closes it
  std::unordered_map<std::string, std::vector<Idle>> idle_;  ///< newest last
  std::size_t idle_size_ = 0;                                ///< of all of these together
  std::unordered_map<Exchange*, std::shared_ptr<Exchange>> exchanges_;
  boost::asio::steady_timer late_, sweeper_;
  Clock::time_point watched_ = Clock::time_point::max();  ///< when late_ ends
  std::shared_ptr<const ClientOptions> sent_with_;        ///< whose lines these are:
  std::string header_lines_;
  std::string to_send_;
  std::unique_ptr<char[]> buffer_;
  WholeReplies replies_;

  std::thread thread_;
};

}  // namespace optipod::http
