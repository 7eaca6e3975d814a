// SPDX-License-Identifier: Apache-2.0
#include "common/http/origin_client.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>

#include <fmt/format.h>

#include "common/http/connection.hpp"
#include "common/http/head.hpp"
#include "common/http/reply_reader.hpp"
#include "common/http/tls_context.hpp"
#include "common/http/url.hpp"
#include "config.h"

namespace optipod::http {
namespace {

using Clock = std::chrono::steady_clock;
using Result = tl::expected<OriginReply, OriginError>;
using Pooled = std::unique_ptr<Connection>;

constexpr std::size_t kMostIdle = 16;
constexpr std::chrono::seconds kIdleTime{60};  ///< less than the API server's own 90 s
constexpr std::size_t kMostErrorBody = 64 * 1024;

bool target_is_safe(const std::string& target) {
  return target.starts_with('/') && std::none_of(target.begin(), target.end(), [](char c) {
           return static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) == 0x7F ||
                  c == '#';
         });
}

std::chrono::seconds retry_after(const Head& head) {
  constexpr std::uint64_t kMost = 3600;
  const std::string_view text = head.field("Retry-After");
  std::uint64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return std::chrono::seconds(std::min(seconds, kMost));
}

/// A long body is cut; it is only read for its message.
void keep_start(std::string& body, std::string_view bytes) {
  body.append(bytes.substr(0, kMostErrorBody - std::min(body.size(), kMostErrorBody)));
}

}  // namespace

struct OriginClient::Impl {
  struct Idle {
    Pooled connection;
    Clock::time_point since;
  };

  /// A kept-alive connection that lives, as far as can be seen; or null.
  Pooled take();
  void keep(Pooled connection);
  /// The request as bytes, or what is wrong with it.
  [[nodiscard]] tl::expected<std::string, std::string> render(const OriginRequest& request) const;
  [[nodiscard]] OriginError failure(const OriginRequest& request, const std::string& why,
                                    bool sent = false, bool reused = false) const;

  Result run(const OriginRequest& request, const StreamOptions* options, const BodySink* sink);
  Result once(const OriginRequest& request, const std::string& bytes, Clock::time_point deadline,
              Pooled connection, const StreamOptions* options, const BodySink* sink);
  tl::expected<ReplyReader::End, std::string> read_body(const OriginRequest& request,
                                                        const Patience& patience,
                                                        const StreamOptions* options,
                                                        const BodySink* sink, ReplyReader& reader,
                                                        OriginReply& reply) const;

  Url url;
  std::string name;    ///< "https://host:port", for messages
  std::string prefix;  ///< path before every target, without its last '/'
  std::string server_name;
  std::shared_ptr<boost::asio::ssl::context> tls;
  std::mutex mutex;
  std::vector<Idle> idle;  ///< under mutex; newest last
};

Pooled OriginClient::Impl::take() {
  // Connections that are dropped are closed without the lock.
  std::vector<Idle> old;
  Pooled found;
  const std::lock_guard lock(mutex);
  const auto oldest = Clock::now() - kIdleTime;
  while (!idle.empty() && !found) {
    Idle candidate = std::move(idle.back());
    idle.pop_back();
    if (candidate.since >= oldest && !candidate.connection->is_dead()) {
      found = std::move(candidate.connection);
    } else {
      old.push_back(std::move(candidate));
    }
  }
  return found;
}

void OriginClient::Impl::keep(Pooled connection) {
  Idle oldest;
  const std::lock_guard lock(mutex);
  if (idle.size() >= kMostIdle) {
    oldest = std::move(idle.front());
    idle.erase(idle.begin());
  }
  idle.push_back({std::move(connection), Clock::now()});
}

tl::expected<std::string, std::string> OriginClient::Impl::render(
    const OriginRequest& request) const {
  if (!target_is_safe(request.target)) {
    return tl::unexpected(std::string("the path must start with / and be escaped"));
  }
  std::string out = request.method + " " + prefix + request.target +
                    " HTTP/1.1\r\nHost: " + url.authority +
                    "\r\nUser-Agent: OptiPod/" OPTIPOD_VERSION "\r\n";
  for (const auto& [name_of, value] : request.headers) {
    if (!header_is_safe(name_of, value)) {
      return tl::unexpected(std::string("a header to send has a line break or no name"));
    }
    out.append(name_of).append(": ").append(value).append("\r\n");
  }
  if (request.method != "GET") {
    out += fmt::format("Content-Length: {}\r\n", request.body.size());
  }
  return out.append("\r\n").append(request.body);
}

OriginError OriginClient::Impl::failure(const OriginRequest& request, const std::string& why,
                                        bool sent, bool reused) const {
  const std::string_view path =
      std::string_view(request.target)
          .substr(0, std::min(request.target.find('?'), std::size_t{256}));
  return {fmt::format("{} {}{}{}: {}", request.method, name, prefix, path, why), sent, reused};
}

tl::expected<ReplyReader::End, std::string> OriginClient::Impl::read_body(
    const OriginRequest& request, const Patience& patience, const StreamOptions* options,
    const BodySink* sink, ReplyReader& reader, OriginReply& reply) const {
  if (options == nullptr) {
    std::string& body = request.room != nullptr ? *request.room : reply.body;
    body.clear();
    return reader.read_body(
        request.max_body_bytes, [&] { return patience; },
        [&](std::string_view piece) {
          body.append(piece);
          return true;
        });
  }
  if (reply.status != 200) {
    return reader.read_body(
        kMostErrorBody * 16, [&] { return patience; },
        [&](std::string_view piece) {
          keep_start(reply.body, piece);
          return true;
        });
  }
  if (options->opened) options->opened(reply.content_type);
  const auto end =
      options->total.count() > 0 ? Clock::now() + options->total : Clock::time_point::max();
  const auto next = [&] {
    return Patience{std::min(end, Clock::now() + options->quiet), request.stop, options->gather};
  };
  auto result = reader.read_body(std::numeric_limits<std::size_t>::max(), next, *sink);
  if (!result && Clock::now() >= end) {
    return tl::unexpected(
        fmt::format("the stream did not end in {} s", options->total.count() / 1000));
  }
  return result;
}

/// The request on `connection`, or on a new one when it is null.
Result OriginClient::Impl::once(const OriginRequest& request, const std::string& bytes,
                                Clock::time_point deadline, Pooled connection,
                                const StreamOptions* options, const BodySink* sink) {
  const Patience patience{deadline, request.stop};
  const bool reused = connection != nullptr;
  if (!reused) {
    connection = std::make_unique<Connection>(tls, server_name);
    if (const auto opened = connection->open(url, patience); !opened) {
      return tl::unexpected(failure(request, opened.error()));
    }
  }
  // A server may answer (401, 413) and close before it has read everything: then the reply counts,
  // not that sending failed.
  const auto written = connection->write(bytes, patience);
  ReplyReader reader(*connection);
  const auto head = reader.read_head(patience);
  if (!head) {
    return tl::unexpected(failure(
        request, written ? head.error() : written.error(), true,
        reused && !reader.received() && Clock::now() < deadline && !request.stop.stop_requested()));
  }
  OriginReply reply;
  reply.status = reader.head().status;
  reply.content_type = reader.head().field("Content-Type");
  reply.retry_after = retry_after(reader.head());
  const auto end = read_body(request, patience, options, sink, reader, reply);
  if (!end) return tl::unexpected(failure(request, end.error(), true));
  reply.complete = *end == ReplyReader::End::kComplete;
  if (written && reply.complete && reader.reusable()) keep(std::move(connection));
  return reply;
}

Result OriginClient::Impl::run(const OriginRequest& request, const StreamOptions* options,
                               const BodySink* sink) {
  const auto bytes = render(request);
  if (!bytes) return tl::unexpected(failure(request, bytes.error()));
  const auto deadline = Clock::now() + request.timeout;
  Result result = once(request, *bytes, deadline, request.fresh ? nullptr : take(), options, sink);
  if (!result && result.error().reused && request.method == "GET") {
    result = once(request, *bytes, deadline, nullptr, options, sink);
  }
  return result;
}

OriginClient::OriginClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OriginClient::~OriginClient() = default;

tl::expected<std::unique_ptr<OriginClient>, std::string> OriginClient::make(const std::string& url,
                                                                            const TlsOptions& tls) {
  auto parsed = parse_url(url, Schemes::kHttpAndHttps);
  if (!parsed) return tl::unexpected(parsed.error());
  if (parsed->target.find('?') != std::string::npos) {
    return tl::unexpected("\"" + url + "\" has a query");
  }
  auto impl = std::make_unique<Impl>();
  impl->name = std::string(parsed->tls ? "https://" : "http://") + parsed->authority;
  impl->prefix = parsed->target;
  while (impl->prefix.ends_with('/')) impl->prefix.pop_back();
  impl->server_name = tls.server_name.empty() ? parsed->host : tls.server_name;
  impl->url = std::move(*parsed);
  if (impl->url.tls) {
    auto context = make_tls_context(tls);
    if (!context) return tl::unexpected(impl->name + ": " + context.error());
    impl->tls = std::move(*context);
  }
  return std::unique_ptr<OriginClient>(new OriginClient(std::move(impl)));
}

Result OriginClient::send(const OriginRequest& request) const {
  return impl_->run(request, nullptr, nullptr);
}

Result OriginClient::stream(const OriginRequest& request, const StreamOptions& options,
                            const BodySink& sink) const {
  return impl_->run(request, &options, &sink);
}

}  // namespace optipod::http
