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

#include "common/http/body_share.hpp"
#include "common/http/io_threads.hpp"
#include "common/http/lane.hpp"
#include "common/http/reply.hpp"
#include "common/http/request_reader.hpp"
#include "common/http/router.hpp"
#include "common/http/server.hpp"
#include "common/http/tls_server.hpp"
#include "common/http/transport.hpp"
#include "common/http/web_config.hpp"
#include "common/http/workers.hpp"

namespace optipod::http {

using SteadyTime = std::chrono::steady_clock::time_point;

/// What all connections of a server share.
struct Shared {
  ServerLimits limits;
  Router router;
  Server::Observer observer;
  std::atomic<bool> stopping{false};
  std::atomic<std::size_t> body_bytes{0};  ///< of all, as BodyShare counts
  Lanes* lanes = nullptr;
  IoThreads* threads = nullptr;
  Workers workers;
  std::shared_ptr<WebConfigFile> web;  ///< null: plain HTTP, for anybody
  Passwords passwords;
  Workers password_workers;  ///< of the lane of that name
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  enum class State : int {
    kIdle,       ///< no byte of a request has come; of a TLS connection, also before
    kReading,    ///< some have
    kAnswering,  ///< all have; it waits for a handler, or one runs. No deadline of the connection
    kWriting,    ///< the reply is being written
    kDraining,   ///< nothing more is said; what the peer still sends is thrown away for a moment,
                 ///< because closing at once would reset the connection and lose the reply
    kClosed
  };

  /// `tls` null: plain.
  Session(StrandSocket socket, std::shared_ptr<TlsServer> tls, Shared& shared,
          std::function<void(Session*)> closed);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Serves requests until the connection ends.
  void start();
  /// Says 503 without reading anything; to a TLS client nothing, as shaking hands is work.
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

  void set_state(State state, SteadyTime deadline);
  void set_state(State state, std::chrono::milliseconds time);
  void shake_hands();
  void next_request();
  void read_some();
  void on_read(const ErrorCode& error, std::size_t n);
  void go_on(RequestReader::Step step);
  void send_continue();
  void reset_response(unsigned status);
  void answer();
  void authenticate();
  void wait_for_check(const Credentials& credentials);
  void check_password(const Credentials& credentials);
  void deny(unsigned status);
  void dispatch();
  void resume(Turn turn);
  void run();
  void run_slow();
  void turn_away(Turn turn);
  [[nodiscard]] bool peer_has_gone();
  void call(const Handler& handler);
  void render();
  void fail(unsigned status);
  void write_reply();
  void call_afterwards();
  void write_rest(std::size_t written);
  void write_next_piece();
  bool make_next_piece();
  void on_written();
  void release_reply(std::size_t most);
  void drain();
  void end_sending();
  void discard_some();
  void close();

  std::shared_ptr<TlsServer> tls_;  ///< null: plain
  Transport transport_;
  Shared& shared_;
  std::function<void(Session*)> closed_;

  std::atomic<State> state_{State::kIdle};
  std::atomic<std::int64_t> deadline_{0}, idle_since_{0};
  bool timed_out_ = false;

  RequestReader reader_;
  BodyShare body_share_;
  SteadyTime last_read_{}, written_{};       ///< the last byte of the request, and of its reply
  std::shared_ptr<const WebConfig> config_;  ///< of this request; null: none
  const Route* route_ = nullptr;             ///< that the reply is for; null when none
  Response response_;
  Reply reply_;
  bool keep_alive_ = false, linger_ = false;
  SteadyTime write_until_{};  ///< of a reply in pieces: the deadline of all
  std::size_t drained_ = 0;
};

}  // namespace optipod::http
