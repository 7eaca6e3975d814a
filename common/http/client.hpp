// SPDX-License-Identifier: Apache-2.0
//
// Outgoing requests. get()/post() do one at a time (cpp-httplib); Fetcher does thousands at once
// (Boost.Beast) with bounded time and memory each.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "common/http/tls_client.hpp"

namespace optipod::http {

struct ClientResponse {
  unsigned status = 0;
  std::string content_type;
  std::string body;  ///< decompressed
};

/// Why there is no response.
struct ClientError {
  enum class Kind {
    kConnection,  ///< none, or it broke, or what came over it is no HTTP; or nothing could be asked
    kTimeout,
    kTooLarge,  ///< head or body, compressed or not
  };
  Kind kind = Kind::kConnection;
  std::string what;  ///< what failed, where, and why
};

struct ClientOptions {
  std::chrono::milliseconds timeout{5'000};  ///< whole request: connect, send, receive
  std::size_t max_body_bytes = 64 * 1024 * 1024;
  std::vector<std::pair<std::string, std::string>> headers;
  std::shared_ptr<const TlsClient> tls;  ///< of a Fetcher: an https URL needs it
};

using ClientResult = tl::expected<ClientResponse, ClientError>;

/// `url` is http://host[:port]/path[?query]; a Fetcher also takes https. A status other than 200 is
/// not an error here.
ClientResult get(const std::string& url, const ClientOptions& = {});
ClientResult post(const std::string& url, const std::string& body, const std::string& content_type,
                  const ClientOptions& = {});

/// Many concurrent GETs on `threads` threads with kept-alive connections (one per URL's
/// host:port; those over TLS are not shared between different `tls`). Thread-safe. Each request
/// ends exactly once, in its receiver, on a Fetcher thread, at its deadline at the latest: also for
/// a peer that is silent, endless, slow or gone. A part of the descriptors that the process may
/// have when this is made is left to others: a request that finds no other ends at once, with the
/// reason. All of a host:port are one thread's. A connection at rest has no memory of ours but its
/// socket.
class Fetcher {
 public:
  /// What a GET asks, worked out once for many times: fetch_request.hpp. Immutable.
  class Request;
  /// A reply as its receiver sees it.
  struct Reply {
    unsigned status = 0;
    std::string_view content_type;
    std::string_view body;  ///< decompressed
  };
  /// For the time of the call.
  using Answer = tl::expected<Reply, ClientError>;
  class Receiver {
   public:
    virtual ~Receiver() = default;
    /// Once for each ask, on a Fetcher thread.
    virtual void receive(Answer answer) = 0;
  };
  explicit Fetcher(unsigned threads = 1);
  ~Fetcher();  ///< cancels what is under way; every receiver has returned when it does
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  struct Ask {
    std::shared_ptr<const Request> request;
    std::shared_ptr<Receiver> receiver;
  };
  /// Of one request; has memory of its own.
  using Done = std::function<void(ClientResult&&)>;

  /// A URL or a header that cannot be asked is told by the GET.
  static std::shared_ptr<const Request> prepare(std::string url,
                                                std::shared_ptr<const ClientOptions> options);
  /// Begins all of them, with one wake of each thread: many small requests cost half as much then,
  /// and less still when all of them are one thread's.
  void get(std::vector<Ask> asks);
  /// Which thread asks that URL: 0 to threads - 1.
  [[nodiscard]] unsigned thread_of(const std::string& url) const;
  void get(const std::string& url, const ClientOptions& options, Done done);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::http
