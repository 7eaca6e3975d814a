// SPDX-License-Identifier: Apache-2.0
//
// Requests to one cluster's API server.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "common/http/origin_client.hpp"
#include "common/kube/config.hpp"
#include "common/kube/messages.hpp"

namespace optipod::kube {

struct RequestOptions {
  std::chrono::milliseconds timeout{10'000};      ///< whole request, with connecting
  std::size_t max_body_bytes = 16 * 1024 * 1024;  ///< of the reply
  /// Prefer protobuf, which the API server encodes once for all that watch: encoding_of() the
  /// reply's Content-Type says what came. Else JSON.
  bool protobuf = false;
  std::stop_token stop;  ///< ends the request at once
};

/// What became of a binding.
struct BindResult {
  enum class Outcome {
    kBound,           ///< the pod is bound to the node that was asked for, by us or before us
    kBoundElsewhere,  ///< it is bound to `node`, another one
    kReplaced,        ///< a pod of that name exists, but with another uid
    kNotFound,        ///< no such pod (or namespace)
    kFailed           ///< anything else; the pod may or may not have been bound when `unknown`
  };
  Outcome outcome = Outcome::kFailed;
  bool already = false;  ///< kBound: it had been bound before
  bool unknown = false;  ///< kFailed: the request may have had its effect all the same
  unsigned status = 0;   ///< of the HTTP reply to the binding; 0 when there was none
  std::string node;      ///< where the pod is bound, as far as known
  std::string error;     ///< what, where and why; "" for kBound

  [[nodiscard]] bool bound() const { return outcome == Outcome::kBound; }
};

/// Thread-safe: calls run side by side, each on a kept-alive connection of its own. Reads the token
/// file again when it has changed, and once more when the server says 401.
class Client {
 public:
  /// Connects to nothing yet. The error says which part of the configuration cannot be used.
  static tl::expected<std::unique_ptr<Client>, std::string> make(ClusterConfig config);
  /// The same of what load_config() reads. Its files are looked at with each request: new
  /// connections show and trust the certificates that are there then. A change that cannot be used
  /// leaves the old in use, and the log says why.
  static tl::expected<std::unique_ptr<Client>, std::string> open(const std::string& path,
                                                                 const std::string& context);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// `target` is a path with an optional query, escaped: "/api/v1/nodes?limit=500". A status other
  /// than 2xx is not an error here; status_message() reads it.
  tl::expected<http::OriginReply, std::string> get(const std::string& target,
                                                   const RequestOptions& options = {}) const;
  tl::expected<http::OriginReply, std::string> post(const std::string& target,
                                                    const std::string& json,
                                                    const RequestOptions& options = {}) const;
  /// GET whose body comes in pieces, as http::OriginClient::stream. `timeout` runs until the
  /// reply's head has come.
  tl::expected<http::OriginReply, std::string> stream(const std::string& target,
                                                      const http::StreamOptions& how,
                                                      const http::BodySink& sink,
                                                      const RequestOptions& options = {}) const;

  /// Binds a pod to a node through its binding sub-resource. Idempotent: when the API server says
  /// 409, or the answer is lost, the pod itself is read. `uid` "" does not ask which pod of that
  /// name it is. `options.timeout` is for everything together.
  [[nodiscard]] BindResult bind_pod(const std::string& pod_namespace, const std::string& pod,
                                    const std::string& uid, const std::string& node,
                                    const RequestOptions& options = {}) const;

  /// What is in use now.
  [[nodiscard]] std::shared_ptr<const ClusterConfig> config() const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Of a reply's Content-Type. What is not Kubernetes' protobuf is taken for JSON, whatever its
/// name.
Encoding encoding_of(std::string_view content_type);

/// "403: pods is forbidden: …" from a reply that is not 2xx: its Status.message, else the start of
/// its body.
std::string status_message(unsigned status, std::string_view body);

}  // namespace optipod::kube
