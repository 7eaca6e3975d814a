// SPDX-License-Identifier: Apache-2.0
#include "common/kube/client.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "common/app/logging.hpp"
#include "common/config/files.hpp"
#include "common/http/head.hpp"
#include "common/http/percent.hpp"
#include "common/kube/json.hpp"

namespace optipod::kube {
namespace {

using config::file_version;
using config::read_file;
using config::trimmed;

using http::OriginError;
using http::OriginReply;
using Clock = std::chrono::steady_clock;
using Outcome = BindResult::Outcome;
using Result = tl::expected<OriginReply, OriginError>;
using std::chrono::milliseconds;

constexpr std::size_t kMostToken = 64 * 1024;

bool is_success(unsigned status) {
  return status / 100 == 2;
}

http::OriginRequest make_request(const std::string& method, const std::string& target,
                                 const RequestOptions& options) {
  http::OriginRequest request;
  request.method = method;
  request.target = target;
  request.timeout = options.timeout;
  request.max_body_bytes = options.max_body_bytes;
  request.stop = options.stop;
  const std::string json = "application/json";
  request.headers.emplace_back("Accept",
                               options.protobuf ? std::string(kProtobufType) + ", " + json : json);
  return request;
}

http::OriginRequest make_post(const std::string& target, const std::string& json,
                              const RequestOptions& options) {
  http::OriginRequest request = make_request("POST", target, options);
  request.body = json;
  request.headers.emplace_back("Content-Type", "application/json");
  return request;
}

void append_member(std::string& out, std::string_view key, std::string_view value) {
  out.append("\"").append(key).append("\":\"");
  app::append_json_escaped(out, value);
  out.append("\"");
}

std::string binding_json(const std::string& pod_namespace, const std::string& pod,
                         const std::string& uid, const std::string& node) {
  std::string out = R"({"apiVersion":"v1","kind":"Binding","metadata":{)";
  append_member(out, "name", pod);
  out += ',';
  append_member(out, "namespace", pod_namespace);
  if (!uid.empty()) {
    out += ',';
    append_member(out, "uid", uid);
  }
  out += R"(},"target":{"apiVersion":"v1","kind":"Node",)";
  append_member(out, "name", node);
  return out + "}}";
}

/// A name that would change the path it is put into.
bool is_bad_name(const std::string& name) {
  return name.empty() || name == "." || name == "..";
}

tl::expected<OriginReply, std::string> plain(Result result) {
  if (!result) return tl::unexpected(std::move(result.error().message));
  return std::move(*result);
}

/// The bearer token, which may live in a file that others replace.
class Token {
 public:
  explicit Token(const ClusterConfig& config) : file_(config.token_file), token_(config.token) {}

  /// The first reading must succeed.
  tl::expected<void, std::string> load() {
    const std::lock_guard lock(mutex_);
    if (!file_.empty()) {
      version_ = file_version(file_);
      auto read = read_token();
      if (!read) return tl::unexpected(read.error());
      token_ = std::move(*read);
    }
    if (!http::header_is_safe("Authorization", token_)) {
      return tl::unexpected(std::string("the token holds a line break"));
    }
    return {};
  }
  /// `must`: the server refused what it was; read whether the file looks new or not. A file that
  /// cannot be read just now leaves the old token, which may well be valid still.
  std::string get(bool must = false) {
    const std::lock_guard lock(mutex_);
    if (file_.empty()) return token_;
    std::string version = file_version(file_);
    if (version == version_ && !must) return token_;
    version_ = std::move(version);
    auto read = read_token();
    if (read) {
      token_ = std::move(*read);
    } else {
      spdlog::warn("Kubernetes token stays as it was: {}", read.error());
    }
    return token_;
  }
  [[nodiscard]] bool from_file() const { return !file_.empty(); }

 private:
  tl::expected<std::string, std::string> read_token() const {
    auto text = read_file(file_, kMostToken);
    if (!text) return tl::unexpected(text.error());
    std::string token = trimmed(*text);
    if (token.empty()) return tl::unexpected(file_ + " is empty");
    if (!http::header_is_safe("Authorization", token)) {
      return tl::unexpected(file_ + " holds more than a token");
    }
    return token;
  }

  const std::string file_;
  std::mutex mutex_;
  std::string token_, version_;  ///< under mutex_
};

}  // namespace

struct Client::Impl {
  explicit Impl(ClusterConfig c) : config(std::move(c)), token(config) {}

  /// Sends with who we are; once more when that is refused and the token has changed since.
  template <class Send>
  Result authorized(http::OriginRequest request, const Send& send) {
    const std::string first = token.get();
    if (!first.empty()) request.headers.emplace_back("Authorization", "Bearer " + first);
    Result result = send(request);
    if (!result || result->status != 401 || !token.from_file()) return result;
    std::string second = token.get(true);
    if (second == first) return result;
    request.headers.back().second = "Bearer " + second;
    return send(request);
  }
  Result send(http::OriginRequest request) {
    return authorized(std::move(request), [this](const auto& r) { return origin->send(r); });
  }

  BindResult after_conflict(const std::string& target, const std::string& uid,
                            const std::string& node, BindResult result,
                            const RequestOptions& options);
  BindResult after_unknown(const std::string& target, const std::string& uid,
                           const std::string& node, BindResult result,
                           const RequestOptions& options);
  tl::expected<PodBinding, std::string> read_pod(const std::string& target,
                                                 const RequestOptions& options);

  const ClusterConfig config;
  Token token;
  std::unique_ptr<http::OriginClient> origin;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

tl::expected<std::unique_ptr<Client>, std::string> Client::make(ClusterConfig config) {
  auto impl = std::make_unique<Impl>(std::move(config));
  const ClusterConfig& c = impl->config;
  const auto fail = [&](const std::string& why) {
    return tl::unexpected(c.source.empty() ? why : c.source + ": " + why);
  };
  http::TlsOptions tls;
  tls.ca_pem = c.ca_pem;
  tls.certificate_pem = c.client_cert_pem;
  tls.key_pem = c.client_key_pem;
  tls.server_name = c.tls_server_name;
  tls.verify = !c.insecure_skip_tls_verify;
  auto origin = http::OriginClient::make(c.server, tls);
  if (!origin) return fail("server: " + origin.error());
  impl->origin = std::move(*origin);
  if (const auto loaded = impl->token.load(); !loaded) return fail(loaded.error());
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

const ClusterConfig& Client::config() const {
  return impl_->config;
}

tl::expected<OriginReply, std::string> Client::get(const std::string& target,
                                                   const RequestOptions& options) const {
  return plain(impl_->send(make_request("GET", target, options)));
}

tl::expected<OriginReply, std::string> Client::post(const std::string& target,
                                                    const std::string& json,
                                                    const RequestOptions& options) const {
  return plain(impl_->send(make_post(target, json, options)));
}

tl::expected<OriginReply, std::string> Client::stream(const std::string& target,
                                                      const http::StreamOptions& how,
                                                      const http::BodySink& sink,
                                                      const RequestOptions& options) const {
  return plain(impl_->authorized(make_request("GET", target, options), [&](const auto& request) {
    return impl_->origin->stream(request, how, sink);
  }));
}

tl::expected<PodBinding, std::string> Client::Impl::read_pod(const std::string& target,
                                                             const RequestOptions& options) {
  const auto reply = send(make_request("GET", target, options));
  if (!reply) return tl::unexpected(reply.error().message);
  if (reply->status == 404) return PodBinding{};
  if (reply->status != 200) {
    return tl::unexpected("GET " + target + ": " + status_message(reply->status, reply->body));
  }
  return parse_pod_binding(reply->body);
}

/// 409 has many causes: bound already, another pod of that name, being deleted. The pod tells.
BindResult Client::Impl::after_conflict(const std::string& target, const std::string& uid,
                                        const std::string& node, BindResult result,
                                        const RequestOptions& options) {
  const auto pod = read_pod(target, options);
  if (!pod) {
    result.error += "; and the pod could not be read: " + pod.error();
    return result;
  }
  result.node = pod->node;
  if (pod->uid.empty()) {
    result.outcome = Outcome::kNotFound;
  } else if (!uid.empty() && pod->uid != uid) {
    result.outcome = Outcome::kReplaced;
    result.error += fmt::format(" (the pod of that name has uid {} now)", pod->uid);
  } else if (pod->node == node) {
    result.outcome = Outcome::kBound;
    result.already = true;
    result.error.clear();
  } else if (!pod->node.empty()) {
    result.outcome = Outcome::kBoundElsewhere;
  }
  return result;
}

/// The binding may have been made, though nobody said so: if the pod shows it, it is.
BindResult Client::Impl::after_unknown(const std::string& target, const std::string& uid,
                                       const std::string& node, BindResult result,
                                       const RequestOptions& options) {
  BindResult seen = after_conflict(target, uid, node, std::move(result), options);
  if (seen.outcome != Outcome::kFailed) return seen;
  seen.unknown = true;
  return seen;
}

BindResult Client::bind_pod(const std::string& pod_namespace, const std::string& pod,
                            const std::string& uid, const std::string& node,
                            const RequestOptions& options) const {
  BindResult result;
  if (is_bad_name(pod_namespace) || is_bad_name(pod) || node.empty()) {
    result.error = fmt::format("cannot bind pod \"{}/{}\" to node \"{}\": a name is missing or bad",
                               pod_namespace, pod, node);
    return result;
  }
  const auto deadline = Clock::now() + options.timeout;
  const auto left = [&] {
    RequestOptions rest = options;
    rest.timeout = std::max(std::chrono::duration_cast<milliseconds>(deadline - Clock::now()),
                            milliseconds(1));
    return rest;
  };
  const std::string target = "/api/v1/namespaces/" + http::percent_encode(pod_namespace) +
                             "/pods/" + http::percent_encode(pod);
  // A quarter of the time is kept for looking what became of it.
  RequestOptions first = options;
  first.timeout = options.timeout * 3 / 4;
  http::OriginRequest request =
      make_post(target + "/binding", binding_json(pod_namespace, pod, uid, node), first);
  Result reply = impl_->send(request);
  if (!reply && reply.error().reused) {
    // The kept-alive connection was dead. Should the request have come through all the same, the
    // API server refuses a second binding with 409, and then the pod tells.
    request.fresh = true;
    request.timeout = left().timeout * 3 / 4;
    reply = impl_->send(request);
  }
  if (!reply) {
    result.error = reply.error().message;
    const bool unknown = reply.error().sent && !options.stop.stop_requested();
    return unknown ? impl_->after_unknown(target, uid, node, std::move(result), left()) : result;
  }
  result.status = reply->status;
  if (is_success(reply->status)) {
    result.outcome = Outcome::kBound;
    result.node = node;
    return result;
  }
  result.error = fmt::format("binding pod {}/{} to node {}: {}", pod_namespace, pod, node,
                             status_message(reply->status, reply->body));
  if (reply->status == 404) result.outcome = Outcome::kNotFound;
  if (reply->status == 409) {
    return impl_->after_conflict(target, uid, node, std::move(result), left());
  }
  if (reply->status >= 500) {
    return impl_->after_unknown(target, uid, node, std::move(result), left());
  }
  return result;
}

Encoding encoding_of(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  type = type.substr(0, type.find_last_not_of(" \t") + 1);
  return http::equals_no_case(type, kProtobufType) ? Encoding::kProtobuf : Encoding::kJson;
}

std::string status_message(unsigned status, std::string_view body) {
  constexpr std::size_t kMost = 512;
  ApiStatus parsed;
  std::string text =
      parse_status(body, parsed) && !parsed.message.empty() ? parsed.message : std::string(body);
  text = trimmed(text.substr(0, kMost));
  // It goes into logs and messages of one line.
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text.empty() ? fmt::format("status {}", status) : fmt::format("{}: {}", status, text);
}

}  // namespace optipod::kube
