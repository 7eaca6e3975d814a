// SPDX-License-Identifier: Apache-2.0
//
// One connection of the server: reads a request, lets a handler answer it, writes the reply, and so
// on. Everything but the public atomics runs on the connection's strand.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>

#include "common/http/buffer.hpp"
#include "common/http/chunked.hpp"
#include "common/http/head.hpp"
#include "common/http/router.hpp"
#include "common/http/server.hpp"

namespace optipod::http {

using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;
using StrandSocket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Strand>;
using SteadyTime = std::chrono::steady_clock::time_point;

/// What all connections of a server share.
struct Shared {
  ServerLimits limits;
  Router router;
  Server::Observer observer;
  std::atomic<bool> stopping{false};
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  enum class State : int {
    kIdle,      ///< no byte of a request has come
    kReading,   ///< some have
    kWriting,   ///< the request is being answered
    kDraining,  ///< nothing more is said; what the peer still sends is thrown away for a moment,
                ///< because closing at once would reset the connection and lose the reply
    kClosed
  };

  Session(StrandSocket socket, Shared& shared, std::function<void(Session*)> closed);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Serves requests until the connection ends.
  void start();
  /// Says 503 without reading anything.
  void refuse();

  // From any thread:
  [[nodiscard]] State state() const { return state_.load(std::memory_order_relaxed); }
  [[nodiscard]] SteadyTime deadline() const;
  [[nodiscard]] SteadyTime idle_since() const;
  void post_deadline();        ///< the deadline has passed: do what it is there for
  void post_close_if_idle();   ///< makes room, or stops
  void post_release_memory();  ///< an idle connection needs no buffers
  /// Only when no thread runs the strand any more.
  void close_now() { close(); }

  /// Owned by the server's accept loop and clock: this connection was asked to go.
  std::atomic<bool> evicted{false};
  /// Idle, and without large buffers.
  std::atomic<bool> memory_released{false};

 private:
  using ErrorCode = boost::system::error_code;

  void set_state(State state, std::chrono::milliseconds time);
  void next_request();
  void read_some();
  void on_read(const ErrorCode& error, std::size_t n);
  void process_input();
  void take_head(std::size_t length);
  void begin_body(std::size_t head_length);
  void read_sized_body();
  void feed_chunks();
  bool send_continue();
  void answer(std::size_t used);
  bool split_target();
  void run_handler(std::string_view method, std::string_view body);
  void fail(unsigned status);
  void render_head();
  void write_reply();
  void write_rest(std::size_t written);
  void on_written();
  void drain();
  void close();

  StrandSocket socket_;
  Shared& shared_;
  std::function<void(Session*)> closed_;

  std::atomic<State> state_{State::kIdle};
  std::atomic<std::int64_t> deadline_{0}, idle_since_{0};
  bool timed_out_ = false;

  Buffer<0> in_;  ///< head, then what follows it; never reallocated while a head is used
  std::size_t searched_ = 0;  ///< bytes of in_ known not to end the head
  std::size_t head_size_ = 0;
  Head head_;
  Buffer<kBodyPadding> body_;
  std::optional<ChunkedDecoder> chunks_;
  std::size_t drained_ = 0;

  Request request_;
  Response response_;
  std::string path_, route_, out_head_, gzip_;
  bool head_only_ = false, keep_alive_ = false, linger_ = false;
  std::string_view out_body_;
  SteadyTime last_read_{};
};

}  // namespace optipod::http
