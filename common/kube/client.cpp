// SPDX-License-Identifier: Apache-2.0
#include "common/kube/client.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "common/app/logging.hpp"
#include "common/config/files.hpp"
#include "common/http/head.hpp"
#include "common/http/percent.hpp"
#include "common/kube/access.hpp"
#include "common/kube/json.hpp"

namespace optipod::kube {
namespace {

using config::trimmed;
using http::OriginError;
using http::OriginReply;
using Clock = std::chrono::steady_clock;
using Outcome = BindResult::Outcome;
using Result = tl::expected<OriginReply, OriginError>;
using std::chrono::milliseconds;

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

}  // namespace

struct Client::Impl {
  explicit Impl(std::shared_ptr<AccessFile> file) : access(std::move(file)) {}
  static std::unique_ptr<Client> client_of(std::shared_ptr<AccessFile> file) {
    return std::unique_ptr<Client>(new Client(std::make_unique<Impl>(std::move(file))));
  }

  /// Sends with who we are; once more when that is refused and has changed since.
  template <class Send>
  Result authorized(http::OriginRequest request, const Send& send) {
    const auto now = access->current();
    const std::string first = now->token->get();
    const std::size_t plain = request.headers.size();
    const auto attempt = [&](const Access& with, const std::string& token) {
      request.headers.resize(plain);
      if (!token.empty()) request.headers.emplace_back("Authorization", "Bearer " + token);
      return send(*with.origin, request);
    };
    Result result = attempt(*now, first);
    if (!result || result->status != 401) return result;
    const auto then = access->current();
    const std::string second = then->token->get(then == now);
    if (then == now && second == first) return result;
    return attempt(*then, second);
  }
  Result send(http::OriginRequest request) {
    return authorized(std::move(request),
                      [](const http::OriginClient& origin, const http::OriginRequest& r) {
                        return origin.send(r);
                      });
  }

  BindResult after_conflict(const std::string& target, const std::string& uid,
                            const std::string& node, BindResult result,
                            const RequestOptions& options);
  BindResult after_unknown(const std::string& target, const std::string& uid,
                           const std::string& node, BindResult result,
                           const RequestOptions& options);
  tl::expected<PodBinding, std::string> read_pod(const std::string& target,
                                                 const RequestOptions& options);

  const std::shared_ptr<AccessFile> access;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

tl::expected<std::unique_ptr<Client>, std::string> Client::make(ClusterConfig config) {
  return fixed_access(std::move(config)).map(Impl::client_of);
}

tl::expected<std::unique_ptr<Client>, std::string> Client::open(const std::string& path,
                                                                const std::string& context) {
  return open_access(path, context).map(Impl::client_of);
}

std::shared_ptr<const ClusterConfig> Client::config() const {
  const std::shared_ptr<const Access> now = impl_->access->current();
  return {now, &now->config};
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
  return plain(impl_->authorized(make_request("GET", target, options),
                                 [&](const http::OriginClient& origin, const auto& request) {
                                   return origin.stream(request, how, sink);
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
