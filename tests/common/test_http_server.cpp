// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "common/http/client.hpp"
#include "common/http/gzip.hpp"
#include "common/http/server.hpp"
#include "common/http/standard_routes.hpp"
#include "tests/common/raw_socket.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http {
namespace {

using std::chrono::milliseconds;
using test::body_of;
using test::Raw;
using test::status_of;

constexpr const char* kGet = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A server with one of each, on a free port.
struct Fixture {
  explicit Fixture(ServerLimits limits = {}, unsigned threads = 2) : server(limits, threads) {
    server.route("GET", "/hello", [](const Request&, Response& r) { r.body = "hello"; });
    server.route("POST", "/echo", [](const Request& q, Response& r) {
      r.content_type = "application/octet-stream";
      r.body = q.body;
      // Padding must be readable; a sanitizer tells when it is not.
      unsigned sum = 0;
      for (std::size_t i = 0; i < kBodyPadding; ++i) {
        sum += static_cast<unsigned char>(q.body.data()[q.body.size() + i]);
      }
      r.headers.emplace_back("X-Padding", std::to_string(sum));
    });
    server.route("GET", "/request", [](const Request& q, Response& r) {
      r.body = std::string(q.method) + "|" + std::string(q.path) + "|" + std::string(q.query) +
               "|" + q.param("a") + "|" + std::to_string(q.params("m[]").size()) + "|" +
               std::string(q.header("x-odd")) + "|" + std::string(q.header("absent"));
    });
    server.route("GET", "/prefix/*", [](const Request& q, Response& r) { r.body = q.path; });
    server.route("GET", "/prefix/deep/*", [](const Request&, Response& r) { r.body = "deep"; });
    server.route("GET", "/prefix/exact", [](const Request&, Response& r) { r.body = "exact"; });
    server.route("GET", "/throw",
                 [](const Request&, Response&) { throw std::runtime_error("as it should"); });
    server.route("GET", "/throw-int", [](const Request&, Response&) { throw 7; });
    server.route("GET", "/gzip", [](const Request&, Response& r) {
      r.gzip = true;
      for (int i = 0; i < 1000; ++i) r.body += "the same line\n";
    });
    server.route("GET", "/gzip-small", [](const Request&, Response& r) {
      r.gzip = true;
      r.body = "small";
    });
    server.route("GET", "/big",
                 [](const Request&, Response& r) { r.body.assign(50'000'000, 'b'); });
    server.route("GET", "/inject", [](const Request&, Response& r) {
      r.headers.emplace_back("X-Name", "a\r\nX-Injected: yes\r\n\r\nbody");
    });
    server.route("GET", "/bad", [](const Request&, Response& r) {
      r.status = 400;
      r.body = "because";
    });
    server.observe([this](std::string_view route, unsigned status, std::chrono::nanoseconds time) {
      const std::lock_guard lock(mutex);
      seen.emplace_back(std::string(route) + " " + std::to_string(status));
      negative = negative || time.count() < 0;
    });
    const auto listening = server.listen("127.0.0.1:0");
    REQUIRE(listening.has_value());
    REQUIRE(server.port() != 0);
  }
  std::vector<std::string> observed() {
    const std::lock_guard lock(mutex);
    return seen;
  }
  Raw connect() const { return Raw::connect(server.port()); }
  std::string ask(const std::string& request) const {
    Raw raw = connect();
    raw.send(request);
    return raw.reply();
  }

  std::mutex mutex;
  std::vector<std::string> seen;
  bool negative = false;
  Server server;
};

TEST_CASE("a reply has a head, an exact length and the body, and the connection stays") {
  const Fixture f;
  Raw raw = f.connect();
  for (int i = 0; i < 3; ++i) {
    raw.send(kGet);
    const std::string reply = raw.reply();
    CHECK(reply.rfind("HTTP/1.1 200 OK\r\n", 0) == 0);
    CHECK(contains(reply, "\r\nContent-Length: 5\r\n"));
    CHECK(contains(reply, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    CHECK(contains(reply, "\r\nDate: "));
    CHECK_FALSE(contains(reply, "Connection:"));
    CHECK(body_of(reply) == "hello");
  }
}

TEST_CASE("Connection: close and HTTP/1.0") {
  const Fixture f;
  Raw raw = f.connect();
  raw.send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::string reply = raw.receive_all();
  CHECK(contains(reply, "Connection: close\r\n"));
  CHECK(body_of(reply) == "hello");

  raw = f.connect();
  raw.send("GET /hello HTTP/1.0\r\n\r\n");
  CHECK(body_of(raw.receive_all()) == "hello");

  raw = f.connect();
  raw.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  reply = raw.reply();
  CHECK(contains(reply, "Connection: keep-alive\r\n"));
  raw.send("GET /hello HTTP/1.0\r\n\r\n");
  CHECK(body_of(raw.receive_all()) == "hello");
}

TEST_CASE("requests in one piece are answered in order") {
  const Fixture f;
  Raw raw = f.connect();
  std::string requests;
  for (int i = 0; i < 200; ++i) {
    const std::string body = "body " + std::to_string(i);
    requests += "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body;
    requests += kGet;
    requests +=
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        "0\r\n\r\n\r\n";
  }
  raw.send(requests);
  for (int i = 0; i < 200; ++i) {
    REQUIRE(body_of(raw.reply()) == "body " + std::to_string(i));
    REQUIRE(body_of(raw.reply()) == "hello");
    REQUIRE(body_of(raw.reply()) == "abc");
  }
}

TEST_CASE("a request byte by byte") {
  const Fixture f;
  Raw raw = f.connect();
  const std::string sized = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
  const std::string chunked =
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2;ext=\"1\"\r\nab\r\n01\r\nc\r\n0\r\nTrailer: x\r\n\r\n";
  for (const std::string& request : {sized, chunked}) {
    for (const char c : request) REQUIRE(raw.send({&c, 1}));
    CHECK(body_of(raw.reply()) == "abc");
  }
}

TEST_CASE("bodies of all sizes, sized and chunked, arrive whole and padded") {
  ServerLimits limits;
  limits.max_body_bytes = 4 * 1024 * 1024;
  const Fixture f(limits);
  Raw raw = f.connect();
  for (const std::size_t size :
       {0UL, 1UL, 16'000UL, 16'384UL, 65'536UL, 65'537UL, 215'000UL, 1'048'576UL, 4'194'304UL}) {
    std::string body(size, '\0');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i * 7 + i / 251);
    std::thread sending([&] {
      raw.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) +
               "\r\n\r\n" + body);
    });
    std::string reply = raw.reply();
    sending.join();
    CHECK(body_of(reply) == body);
    CHECK(contains(reply, "X-Padding: 0\r\n"));

    std::string request = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (std::size_t at = 0, step = 1; at < size; at += step, step = step * 3 + 1) {
      const std::size_t n = std::min(step, size - at);
      char head[32];
      std::snprintf(head, sizeof head, "%zX\r\n", n);
      request.append(head).append(body, at, n).append("\r\n");
    }
    request += "0\r\n\r\n";
    std::thread again([&] { raw.send(request); });
    reply = raw.reply();
    again.join();
    CHECK(body_of(reply) == body);
    CHECK(contains(reply, "X-Padding: 0\r\n"));
  }
}

TEST_CASE("Expect: 100-continue is answered before the body comes") {
  const Fixture f;
  for (const char* framing : {"Content-Length: 3", "Transfer-Encoding: chunked"}) {
    Raw raw = f.connect();
    raw.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + std::string(framing) +
             "\r\n\r\n");
    CHECK(raw.reply() == "HTTP/1.1 100 Continue\r\n\r\n");
    raw.send(std::string(framing).find("chunked") == std::string::npos ? "abc"
                                                                       : "3\r\nabc\r\n0\r\n\r\n");
    CHECK(body_of(raw.reply()) == "abc");
  }
  Raw raw = f.connect();
  raw.send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n"
      "\r\n");
  CHECK(status_of(raw.reply()) == 413);
}

TEST_CASE("routing: exact, prefix, 404, 405 with Allow, HEAD") {
  const Fixture f;
  const auto get = [&](const std::string& path) {
    return f.ask("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
  };
  CHECK(body_of(get("/prefix/a/b")) == "/prefix/a/b");
  CHECK(body_of(get("/prefix/deep/x")) == "deep");
  CHECK(body_of(get("/prefix/exact")) == "exact");
  CHECK(body_of(get("http://any.host:1/hello?x")) == "hello");
  for (const char* path : {"/", "/nothing", "/hello/", "/prefix", "http://host"}) {
    const std::string reply = get(path);
    INFO(reply);
    CHECK(status_of(reply) == 404);
    CHECK(contains(reply, "Content-Length: 0\r\n"));
    CHECK_FALSE(contains(reply, "Content-Type"));
  }
  const std::string wrong = f.ask("DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(status_of(wrong) == 405);
  CHECK(contains(wrong, "Allow: GET, HEAD\r\n"));
  CHECK(contains(f.ask("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"), "Allow: POST\r\n"));

  Raw raw = f.connect();
  raw.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string head = raw.reply(true);
  CHECK(status_of(head) == 200);
  CHECK(contains(head, "Content-Length: 5\r\n"));
  CHECK(body_of(head).empty());
  raw.send(kGet);
  CHECK(body_of(raw.reply()) == "hello");
  raw.send("HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(status_of(raw.reply(true)) == 404);
}

TEST_CASE("what a handler sees of a request") {
  const Fixture f;
  CHECK(body_of(f.ask("GET /re%71uest?a=1%202+3&a=4&m%5B%5D=x&m[]=%zz&m[]=y HTTP/1.1\r\nHost: x\r\n"
                      "X-ODD:  value \r\n\r\n")) ==
        "GET|/request|a=1%202+3&a=4&m%5B%5D=x&m[]=%zz&m[]=y|1 2 3|2|value|");
}

TEST_CASE("errors: the handler's own text, exceptions without any") {
  const Fixture f;
  Raw raw = f.connect();
  raw.send("GET /bad HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string reply = raw.reply();
  CHECK(status_of(reply) == 400);
  CHECK(body_of(reply) == "because");
  for (const char* path : {"/throw", "/throw-int"}) {
    raw.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n\r\n");
    reply = raw.reply();
    CHECK(status_of(reply) == 500);
    CHECK(contains(reply, "Content-Length: 0\r\n"));
    CHECK(body_of(reply).empty());
  }
  raw.send(kGet);
  CHECK(status_of(raw.reply()) == 200);
}

TEST_CASE("a header with line breaks stays one header") {
  const Fixture f;
  const std::string reply = f.ask("GET /inject HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK_FALSE(contains(reply, "\nX-Injected"));
  CHECK(body_of(reply).empty());
}

TEST_CASE("gzip when asked, and only then") {
  const Fixture f;
  const auto get = [&](const std::string& path, const std::string& accept) {
    return f.ask("GET " + path + " HTTP/1.1\r\nHost: x\r\n" + accept + "\r\n");
  };
  const std::string plain = get("/gzip", "");
  CHECK(body_of(plain).size() == 14'000);
  CHECK(contains(plain, "Vary: Accept-Encoding\r\n"));
  for (const char* yes : {"Accept-Encoding: gzip\r\n", "Accept-Encoding: deflate, GZIP;q=0.5\r\n",
                          "Accept-Encoding: *\r\n", "Accept-Encoding: x-gzip ; q=1\r\n"}) {
    const std::string reply = get("/gzip", yes);
    CHECK(contains(reply, "Content-Encoding: gzip\r\n"));
    CHECK(body_of(reply).size() < 1'000);
    const auto back = gzip_decompress(body_of(reply), 1'000'000);
    REQUIRE(back.has_value());
    CHECK(*back == body_of(plain));
  }
  for (const char* no :
       {"Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: gzip;q=0.000, *\r\n",
        "Accept-Encoding: gzippy\r\n", "Accept-Encoding: identity\r\n", "Accept-Encoding:\r\n"}) {
    CHECK(body_of(get("/gzip", no)) == body_of(plain));
  }
  CHECK(body_of(get("/gzip-small", "Accept-Encoding: gzip\r\n")) == "small");
  CHECK(body_of(get("/hello", "Accept-Encoding: gzip\r\n")) == "hello");
}

TEST_CASE("a large reply reaches a reader that takes its time") {
  const Fixture f;
  Raw raw = f.connect();
  raw.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  std::this_thread::sleep_for(milliseconds(50));
  CHECK(body_of(raw.reply()).size() == 50'000'000);
  raw.send(kGet);
  CHECK(body_of(raw.reply()) == "hello");
}

TEST_CASE("the observer is told each reply") {
  Fixture f;
  f.ask(kGet);
  f.ask("GET /prefix/x HTTP/1.1\r\nHost: x\r\n\r\n");
  f.ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
  f.ask("garbage\r\n\r\n");
  f.server.stop();
  CHECK(f.observed() == std::vector<std::string>{"/hello 200", "/prefix/* 200", " 404", " 400"});
  CHECK_FALSE(f.negative);
}

TEST_CASE("many connections on several threads") {
  const Fixture f({}, 4);
  std::atomic<int> good{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&, c] {
      Raw raw = f.connect();
      for (int i = 0; i < 200; ++i) {
        const std::string body(static_cast<std::size_t>(c * 1000 + i), static_cast<char>('a' + c));
        raw.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
        if (body_of(raw.reply()) == body) ++good;
      }
    });
  }
  for (auto& client : clients) client.join();
  CHECK(good == 1600);
}

TEST_CASE("addresses") {
  const auto route = [](Server& s) {
    s.route("GET", "/hello", [](const Request&, Response& r) { r.body = "hello"; });
  };
  {
    Server any;
    route(any);
    REQUIRE(any.listen(":0").has_value());
    const std::string port = std::to_string(any.port());
    for (const std::string host : {"127.0.0.1", "localhost", "[::1]"}) {
      const auto reply = get("http://" + host + ":" + port + "/hello");
      INFO((reply ? reply->body : reply.error().what));
      CHECK((reply && reply->body == "hello"));
    }
    CHECK_FALSE(any.listen(":0").has_value());
    Server second;
    const auto taken = second.listen(":" + port);
    REQUIRE_FALSE(taken.has_value());
    CHECK(contains(taken.error(), "--web.listen-address: cannot listen on :" + port));
    CHECK(contains(taken.error(), "in use; stop what listens there"));
  }
  Server v6;
  route(v6);
  REQUIRE(v6.listen("[::1]:0").has_value());
  CHECK(get("http://[::1]:" + std::to_string(v6.port()) + "/hello").has_value());
  Server name;
  route(name);
  REQUIRE(name.listen("localhost:0").has_value());
  for (const char* bad : {"", "localhost", "1.2.3.4", ":x", ":70000", "[::1]", "::1:80", "[]:80",
                          "no.such.host.invalid:80", "203.0.113.1:80"}) {
    INFO(bad);
    Server server;
    const auto listening = server.listen(bad);
    REQUIRE_FALSE(listening.has_value());
    CHECK(listening.error().starts_with("--web.listen-address: "));
    CHECK(contains(listening.error(), bad));
  }
  Server elsewhere;
  CHECK(contains(elsewhere.listen("203.0.113.1:80").error(), "give an address of this machine"));
  Server configured;
  CHECK(configured.listen("127.0.0.1:0", "/none/web.yml").error() ==
        "--web.config.file: cannot read /none/web.yml: No such file or directory");
}

TEST_CASE("stop: answers what has begun, closes what waits, frees the port") {
  std::atomic<bool> entered{false};
  auto server = std::make_unique<Server>(ServerLimits{}, 2);
  server->route("GET", "/slow", [&](const Request&, Response& r) {
    entered = true;
    std::this_thread::sleep_for(milliseconds(200));
    r.body = "slow";
  });
  REQUIRE(server->listen("127.0.0.1:0").has_value());
  const std::uint16_t port = server->port();
  Raw idle = Raw::connect(port);
  Raw half = Raw::connect(port);
  half.send("GET /slow HTT");
  Raw busy = Raw::connect(port);
  busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  while (!entered) std::this_thread::sleep_for(milliseconds(1));
  server->stop();
  const std::string reply = busy.receive_all();
  CHECK(body_of(reply) == "slow");
  CHECK(contains(reply, "Connection: close\r\n"));
  CHECK(idle.closed_within(milliseconds(1000)));
  CHECK(half.closed_within(milliseconds(1000)));
  server->stop();
  server.reset();
  CHECK_THROWS(Raw::connect(port));
  Server again;
  CHECK(again.listen("127.0.0.1:" + std::to_string(port)).has_value());
}

TEST_CASE("the pages every program has") {
  std::atomic<bool> ready{false};
  Server server;
  StandardRoutes routes;
  routes.program = "optipod-test";
  routes.description = "Tests <things> & more.";
  routes.render_metrics = [](std::string& out) { out += "a 1\n"; };
  routes.readiness = [&] {
    return ready ? Readiness{true, {}} : Readiness{false, "[\"nodes\"]", "application/json"};
  };
  routes.links = {{"/nodes", "what is known"}};
  add_standard_routes(server, routes);
  REQUIRE(server.listen("127.0.0.1:0").has_value());
  const std::string base = "http://127.0.0.1:" + std::to_string(server.port());
  const auto metrics = get(base + "/metrics");
  REQUIRE(metrics.has_value());
  CHECK(metrics->body == "a 1\n");
  CHECK(metrics->content_type == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(get(base + "/healthz")->body == "ok\n");
  CHECK(get(base + "/readyz")->status == 503);
  CHECK(get(base + "/readyz")->body == "[\"nodes\"]\n");
  CHECK(get(base + "/readyz")->content_type == "application/json");
  ready = true;
  CHECK(get(base + "/readyz")->status == 200);
  CHECK(get(base + "/readyz")->body == "ready\n");
  CHECK(get(base + "/readyz")->content_type == "text/plain; charset=utf-8");
  const auto page = get(base + "/");
  CHECK(page->content_type == "text/html; charset=utf-8");
  CHECK(contains(page->body, "Tests &lt;things&gt; &amp; more."));
  for (const char* link : {"/metrics", "/healthz", "/readyz", "/nodes"}) {
    CHECK(contains(page->body, "href=\"" + std::string(link) + "\""));
  }
}

}  // namespace
}  // namespace optipod::http
