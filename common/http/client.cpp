// SPDX-License-Identifier: Apache-2.0
#include "common/http/client.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <httplib.h>

#include "common/http/gzip.hpp"
#include "common/http/head.hpp"
#include "common/http/tcp_socket.hpp"
#include "common/http/url.hpp"
#include "config.h"

namespace optipod::http {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using Kind = ClientError::Kind;

constexpr std::size_t kMostHead = 256 * 1024;  ///< received beyond the body before giving up

/// httplib limits each read, not the whole, and its heads not at all. This ends the connection at
/// the deadline, or when more has been received than any good reply is long.
class Watchdog {
 public:
  Watchdog(httplib::Client& client, Clock::time_point deadline, std::size_t most)
      : client_(client), deadline_(deadline), most_(most), thread_([this] { watch(); }) {}
  ~Watchdog() { finish(); }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void connected(int socket) { socket_.store(socket); }
  void finish() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] bool late() const { return late_.load(); }
  [[nodiscard]] bool too_much() const { return too_much_.load(); }

 private:
  void watch() {
    constexpr milliseconds kPeriod{5};
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kPeriod, [this] { return done_; })) {
      const bool is_late = Clock::now() >= deadline_;
      if (is_late || received() > most_) {
        (is_late ? late_ : too_much_).store(true);
        if (socket_.load() >= 0) reset_on_close(socket_.load());
        client_.stop();
      }
    }
  }
  [[nodiscard]] std::uint64_t received() const {
    const int socket = socket_.load();
    return socket < 0 ? 0 : tcp_received(socket);
  }

  httplib::Client& client_;
  Clock::time_point deadline_;
  std::size_t most_;
  std::atomic<int> socket_{-1};
  std::atomic<bool> late_{false}, too_much_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

httplib::Request make_request(const std::string& method, const Url& url,
                              const ClientOptions& options) {
  httplib::Request request;
  request.method = method;
  request.path = url.target;
  request.set_header("Host", url.authority);
  request.set_header("User-Agent", "OptiPod/" OPTIPOD_VERSION);
  request.set_header("Accept-Encoding", "gzip");
  for (const auto& [name, value] : options.headers) {
    request.headers.erase(name);
    request.set_header(name.c_str(), value);
  }
  return request;
}

ClientResult send(const std::string& method, const std::string& url, const std::string* body,
                  const std::string& content_type, const ClientOptions& options) {
  const auto fail = [&](const std::string& why, Kind kind = Kind::kConnection) {
    return tl::unexpected(ClientError{kind, fmt::format("{} {}: {}", method, url, why)});
  };
  const auto parsed = parse_url(url);
  if (!parsed) return tl::unexpected(ClientError{.what = method + " " + parsed.error()});
  for (const auto& [name, value] : options.headers) {
    if (!header_is_safe(name, value)) {
      return fail("a header to send has a line break or no name");
    }
  }
  const auto deadline = Clock::now() + options.timeout;

  httplib::Client client(parsed->host, parsed->port);
  client.set_connection_timeout(options.timeout);
  client.set_read_timeout(options.timeout);
  client.set_write_timeout(options.timeout);
  client.set_tcp_nodelay(true);
  client.set_follow_location(false);
  client.set_keep_alive(false);
  client.set_decompress(false);  // httplib's has no bound
  client.set_url_encode(false);
  Watchdog watchdog(client, deadline, options.max_body_bytes + kMostHead);
  client.set_socket_options([&](socket_t socket) { watchdog.connected(socket); });

  httplib::Request request = make_request(method, *parsed, options);
  if (body != nullptr) {
    request.body = *body;
    request.set_header("Content-Type", content_type);
  }
  ClientResponse out;
  bool too_large = false;
  request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
    too_large = too_large || size > options.max_body_bytes - out.body.size();
    if (!too_large) out.body.append(data, size);
    return !too_large;
  };
  httplib::Response response;
  httplib::Error error = httplib::Error::Success;
  const bool good = client.send(request, response, error);
  watchdog.finish();
  if (too_large || watchdog.too_much()) {
    return fail(fmt::format("reply is longer than {} bytes", options.max_body_bytes),
                Kind::kTooLarge);
  }
  // httplib's own limits end at about the same time.
  if (watchdog.late() || (!good && Clock::now() >= deadline)) {
    return fail(fmt::format("no answer in {} ms", options.timeout.count()), Kind::kTimeout);
  }
  if (!good) return fail(httplib::to_string(error));

  out.status = static_cast<unsigned>(response.status);
  out.content_type = response.get_header_value("Content-Type");
  if (list_has_token(response.get_header_value("Content-Encoding"), "gzip")) {
    auto plain = gzip_decompress(out.body, options.max_body_bytes);
    if (!plain) {
      return fail(plain.error().what,
                  plain.error().too_large ? Kind::kTooLarge : Kind::kConnection);
    }
    out.body = std::move(*plain);
  }
  return out;
}

}  // namespace

ClientResult get(const std::string& url, const ClientOptions& options) {
  return send("GET", url, nullptr, {}, options);
}

ClientResult post(const std::string& url, const std::string& body, const std::string& content_type,
                  const ClientOptions& options) {
  return send("POST", url, &body, content_type, options);
}

}  // namespace optipod::http
