// SPDX-License-Identifier: Apache-2.0
//
// The clients against servers that behave, and against servers that do not.
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/http/client.hpp"
#include "common/http/gzip.hpp"
#include "common/http/server.hpp"
#include "tests/common/client_fixture.hpp"
#include "tests/common/raw_socket.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http {
namespace {

using namespace optipod::http::test;

/// Both clients in turn, so that each case below holds for both.
struct Client {
  const char* name;
  std::function<Result(const std::string&, const ClientOptions&)> get;
};
std::vector<Client> both(Waiting& waiting) {
  return {
      {"get", [](const std::string& u, const ClientOptions& o) { return get(u, o); }},
      {"Fetcher", [&](const std::string& u, const ClientOptions& o) { return waiting.get(u, o); }}};
}

TEST_CASE("what is asked, and what is given back") {
  std::mutex mutex;
  std::string head;
  RawServer server([&](Raw& raw, int) {
    const std::string asked = RawServer::read_head(raw);
    {
      const std::lock_guard lock(mutex);
      head = asked;
    }
    raw.send(ok("body"));
  });
  Waiting waiting;
  for (const auto& client : both(waiting)) {
    INFO(client.name);
    ClientOptions options;
    options.headers = {{"Accept", "text/plain;version=0.0.4"}, {"X-A", "b"}};
    const auto reply = client.get(server.url("/a%20b?c=%7Bd%7D&e[]=f"), options);
    REQUIRE(reply.has_value());
    CHECK(reply->status == 200);
    CHECK(reply->content_type == "text/x");
    CHECK(reply->body == "body");
    const std::lock_guard lock(mutex);
    INFO(head);
    CHECK(head.rfind("GET /a%20b?c=%7Bd%7D&e[]=f HTTP/1.1\r\n", 0) == 0);
    CHECK(contains(head, "\r\nHost: 127.0.0.1:" + std::to_string(server.port()) + "\r\n"));
    CHECK(contains(head, "\r\nUser-Agent: OptiPod/"));
    CHECK(contains(head, "\r\nAccept: text/plain;version=0.0.4\r\n"));
    CHECK(contains(head, "\r\nX-A: b\r\n"));
  }
}

TEST_CASE("post sends its body and type") {
  Server server;
  server.route("POST", "/p", [](const Request& q, Response& r) {
    r.status = 201;
    r.body = std::string(q.header("content-type")) + "|" + std::string(q.body);
  });
  REQUIRE(server.listen("127.0.0.1:0").has_value());
  const auto reply = post("http://127.0.0.1:" + std::to_string(server.port()) + "/p", "{\"a\":1}",
                          "application/json");
  REQUIRE(reply.has_value());
  CHECK(reply->status == 201);
  CHECK(reply->body == "application/json|{\"a\":1}");
}

TEST_CASE("bodies: sized, chunked, until the end, none, and other statuses") {
  const std::string big(3 * kMiB + 17, 'b');
  const std::pair<std::string, std::pair<unsigned, std::string>> cases[] = {
      {ok(""), {200, ""}},
      {ok(big), {200, big}},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
       {200, "abcde"}},
      {"HTTP/1.1 200 OK\r\n\r\nuntil the end", {200, "until the end"}},
      {"HTTP/1.0 200 OK\r\n\r\n" + big, {200, big}},
      {"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone", {404, "gone"}},
      {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
       {302, ""}},
      {"HTTP/1.1 100 Continue\r\n\r\n" + ok("after"), {200, "after"}},
  };
  Waiting waiting;
  for (const auto& [bytes, expected] : cases) {
    const RawServer server(always(bytes));
    for (const auto& client : both(waiting)) {
      INFO(client.name << " " << bytes.substr(0, 60));
      const auto reply = client.get(server.url(), within(seconds(5)));
      REQUIRE(reply.has_value());
      CHECK(reply->status == expected.first);
      CHECK(reply->body == expected.second);
    }
  }
  CHECK(waiting.begun == waiting.ended);
}

TEST_CASE("gzip is undone, and a bomb is not") {
  std::string packed;
  REQUIRE(gzip_compress("plain text", packed));
  std::string bomb;
  REQUIRE(gzip_compress(std::string(256 * kMiB, '\0'), bomb));
  const RawServer good(always(ok(packed, "Content-Encoding: gzip\r\n")));
  const RawServer bad(always(ok(bomb, "Content-Encoding: gzip\r\n")));
  const RawServer broken(always(ok("not gzip", "Content-Encoding: gzip\r\n")));
  const std::size_t before = test::resident_bytes();
  Waiting waiting;
  for (const auto& client : both(waiting)) {
    INFO(client.name);
    const auto reply = client.get(good.url(), {});
    REQUIRE(reply.has_value());
    CHECK(reply->body == "plain text");
    const auto blown = client.get(bad.url(), within(seconds(10), 4 * kMiB));
    REQUIRE_FALSE(blown.has_value());
    CHECK(contains(blown.error().what, "more than 4194304"));
    CHECK_FALSE(client.get(broken.url(), {}).has_value());
  }
  CHECK(test::resident_bytes() < before + 64 * kMiB);
}

TEST_CASE("errors say what, where and why") {
  Waiting waiting;
  std::uint16_t closed_port = 0;
  {
    const RawServer gone(always(""));
    closed_port = gone.port();
  }
  for (const auto& client : both(waiting)) {
    INFO(client.name);
    const std::string url = "http://127.0.0.1:" + std::to_string(closed_port) + "/x";
    const auto refused = client.get(url, within(seconds(2)));
    REQUIRE_FALSE(refused.has_value());
    CHECK(contains(refused.error().what, "GET " + url));
    CHECK(contains(refused.error().what, "onnect"));
    CHECK_FALSE(client.get("https://127.0.0.1/", {}).has_value());
    CHECK_FALSE(client.get("nonsense", {}).has_value());
    const auto unknown = client.get("http://no.such.host.invalid/", within(seconds(5)));
    CHECK_FALSE(unknown.has_value());
  }
}

TEST_CASE("an error's kind does not depend on its words") {
  std::uint16_t closed_port = 0;
  {
    const RawServer gone(always(""));
    closed_port = gone.port();
  }
  std::string bomb;
  REQUIRE(gzip_compress(std::string(8 * kMiB, '\0'), bomb));
  const std::string forever = "HTTP/1.1 200 OK\r\n\r\n" + std::string(8 * kMiB, 'x');
  const RawServer silent([](Raw& raw, int) { hold(raw); });
  const RawServer endless(always(forever)), broken(always(ok("x", "Content-Encoding: gzip\r\n"))),
      bombs(always(ok(bomb, "Content-Encoding: gzip\r\n"))), half(always("HTTP/1.1 200 OK\r\nCo")),
      stranger(always("SSH-2.0-no complete answer, longer than a body\r\n\r\n"));
  const std::string closed = "http://127.0.0.1:" + std::to_string(closed_port) + "/longer%20than";
  const auto patience = within(seconds(60), 2 * kMiB);
  Waiting waiting;
  for (const auto& client : both(waiting)) {
    INFO(client.name);
    const auto kind_of = [&](const std::string& url, const ClientOptions& options) {
      const auto reply = client.get(url, options);
      REQUIRE_FALSE(reply.has_value());
      return reply.error().kind;
    };
    CHECK(kind_of(silent.url(), within(milliseconds(50))) == Kind::kTimeout);
    CHECK(kind_of(endless.url(), patience) == Kind::kTooLarge);
    CHECK(kind_of(bombs.url(), patience) == Kind::kTooLarge);
    CHECK(kind_of(broken.url(), patience) == Kind::kConnection);
    CHECK(kind_of(half.url(), patience) == Kind::kConnection);
    CHECK(kind_of(stranger.url(), patience) == Kind::kConnection);
    CHECK(kind_of(closed, patience) == Kind::kConnection);
    CHECK(kind_of("nonsense", patience) == Kind::kConnection);
  }
  const RawServer announces(
      always("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", false)),
      long_head(always("HTTP/1.1 200 OK\r\nX: " + std::string(kMiB, 'x')));
  for (const RawServer* server : {&announces, &long_head}) {
    const auto reply = waiting.get(server->url(), patience);
    REQUIRE_FALSE(reply.has_value());
    CHECK(reply.error().kind == Kind::kTooLarge);
  }
}

TEST_CASE("peers who are silent, slow, endless, broken or gone cost a bounded time and memory") {
  const std::string endless_head = "HTTP/1.1 200 OK\r\n";
  const auto forever = [](std::string start, std::string block, milliseconds pause) {
    return [start = std::move(start), block = std::move(block), pause](Raw& raw, int) {
      if (RawServer::read_head(raw).empty() || !raw.send(start)) return;
      for (int i = 0; i < 100'000 && raw.send(block); ++i) std::this_thread::sleep_for(pause);
    };
  };
  const std::string mib(kMiB, 'x');
  const std::pair<const char*, RawServer::Serve> peers[] = {
      {"silent", [](Raw& raw, int) { hold(raw); }},
      {"silent after the request",
       [](Raw& raw, int) {
         RawServer::read_head(raw);
         hold(raw);
       }},
      {"drips a head", forever(endless_head, "X", milliseconds(20))},
      {"drips header lines", forever(endless_head, "X: y\r\n", milliseconds(20))},
      {"drips a body",
       forever("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", "b", milliseconds(20))},
      {"endless line", forever(endless_head + "X: ", mib, milliseconds(0))},
      {"endless header lines", forever(endless_head, std::string("X: y\r\n"), milliseconds(0))},
      {"endless body", forever("HTTP/1.1 200 OK\r\n\r\n", mib, milliseconds(0))},
      {"endless chunks", forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                 "100000\r\n" + mib + "\r\n", milliseconds(0))},
      {"endless informational replies",
       forever("", "HTTP/1.1 100 Continue\r\n\r\n", milliseconds(0))},
      {"huge length", always("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", false)},
      {"not HTTP", always("SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n")},
      {"nothing", always("")},
      {"half a head", always("HTTP/1.1 200 OK\r\nContent-Le")},
      {"half a body", always("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")},
      {"half a chunk", always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")},
      {"bad chunk", always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n"
                           "\r\n")},
      {"resets in the body",
       [](Raw& raw, int) {
         RawServer::read_head(raw);
         raw.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
         std::this_thread::sleep_for(milliseconds(20));
         raw.reset();
       }},
      {"resets at once", [](Raw& raw, int) { raw.reset(); }},
  };
  const std::size_t before = test::resident_bytes();
  Waiting waiting;
  for (const auto& [name, serve] : peers) {
    for (const auto& client : both(waiting)) {
      const RawServer server(serve);
      INFO(client.name << ": " << name);
      const auto start = std::chrono::steady_clock::now();
      const auto reply = client.get(server.url(), within(milliseconds(300), 2 * kMiB));
      const auto took = std::chrono::steady_clock::now() - start;
      REQUIRE_FALSE(reply.has_value());
      CHECK(contains(reply.error().what, server.url()));
      CHECK(took < seconds(10));  // the deadline is 0.3 s; the rest is for a busy machine
    }
  }
  CHECK(waiting.begun == waiting.ended);
  CHECK(test::resident_bytes() < before + 128 * kMiB);
}

TEST_CASE("a header that would break the request is refused") {
  Waiting waiting;
  const RawServer server(always(ok("")));
  ClientOptions options;
  options.headers = {{"X", "a\r\nY: b"}};
  for (const auto& client : both(waiting)) {
    INFO(client.name);
    CHECK_FALSE(client.get(server.url(), options).has_value());
  }
}

}  // namespace
}  // namespace optipod::http
