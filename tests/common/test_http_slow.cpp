// SPDX-License-Identifier: Apache-2.0
//
// Handlers that block, and the end of a server with requests in it.
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "common/http/client.hpp"
#include "common/http/gzip.hpp"
#include "tests/common/overload_fixture.hpp"

namespace optipod::http {
namespace {

using std::chrono::milliseconds;
using test::await;
using test::body_of;
using test::check_alive;
using test::Gate;
using test::get;
using test::Raw;
using test::status_of;
using Fixture = test::OverloadFixture;

TEST_CASE("slow handlers hold up nobody else, and have bounds of their own") {
  for (const unsigned threads : {1U, 2U}) {
    Fixture f({.slow_threads = 2, .slow_queue = 2}, threads);
    f.listen();
    std::vector<Raw> held;
    held.push_back(f.send("/slow"));
    held.push_back(f.send("/slow"));
    f.slow_gate.await(2);
    for (Raw& raw : f.queue("/slow", 2)) held.push_back(std::move(raw));
    CHECK(body_of(f.send("/slow").reply()) == "neutral");
    CHECK(f.turned_away("/slow").queue_full == 1);
    Raw quick = Raw::connect(f.server.port());
    for (int i = 0; i < 50; ++i) check_alive(quick);
    const ServerStats now = f.server.stats();
    CHECK(now.slow_active == 2);
    CHECK(now.slow_queued == 2);
    CHECK(now.active == 0);
    f.slow_gate.open();
    for (Raw& raw : held) CHECK(body_of(raw.reply()) == "slow");
    CHECK(f.slow_gate.most_at_once() <= 2);
    for (Raw& raw : held) check_alive(raw);
  }
}

TEST_CASE("a slow handler may be waited for longer than others") {
  Fixture f({.queue_deadline = milliseconds(1),
             .slow_threads = 1,
             .slow_deadline = milliseconds(20'000)});
  f.listen();
  Raw held = f.send("/slow");
  f.slow_gate.await(1);
  Raw later = std::move(f.queue("/slow", 1).front());
  std::this_thread::sleep_for(milliseconds(50));
  f.slow_gate.open();
  CHECK(body_of(held.reply()) == "slow");
  CHECK(body_of(later.reply()) == "slow");
  CHECK(f.turned_away("/slow").deadline == 0);
}

TEST_CASE("who waits too long for a slow handler is answered too") {
  Fixture f({.queue_deadline = milliseconds(50), .slow_threads = 1});
  f.listen();
  Raw held = f.send("/slow");
  f.slow_gate.await(1);
  Raw late = f.send("/slow");
  CHECK(body_of(late.reply()) == "neutral");
  CHECK(f.turned_away("/slow").deadline == 1);
  f.slow_gate.open();
  CHECK(body_of(held.reply()) == "slow");
  late.send(get("/slow"));
  CHECK(body_of(late.reply()) == "slow");
}

TEST_CASE("a slow handler has the request, runs elsewhere, and may throw") {
  Server server({.slow_threads = 1}, 2);
  std::mutex mutex;
  std::thread::id slow;
  bool mixed = false;
  server.route("GET", "/quick", [&](const Request&, Response& r) {
    const std::lock_guard lock(mutex);
    mixed = mixed || std::this_thread::get_id() == slow;
    r.body = "quick";
  });
  server.route("POST", "/slow",
               [&](const Request& q, Response& r) {
                 const std::lock_guard lock(mutex);
                 slow = std::this_thread::get_id();
                 r.gzip = true;
                 for (int i = 0; i < 100; ++i)
                   r.body += std::string(q.body) + std::string(q.header("x"));
               },
               {.slow = true});
  server.route("GET", "/throw",
               [](const Request&, Response&) { throw std::runtime_error("as it should"); },
               {.slow = true});
  server.route("GET", "/int", [](const Request&, Response&) { throw 7; }, {.slow = true});
  REQUIRE(server.listen("127.0.0.1:0").has_value());
  Raw raw = Raw::connect(server.port());
  const std::string post =
      "POST /slow HTTP/1.1\r\nHost: x\r\nX: head\r\nContent-Length: 4\r\n\r\nbody";
  for (int i = 0; i < 3; ++i) {  // in one piece: answered in order, across threads
    raw.send(get("/throw") + post + get("/quick") + get("/int") + post);
    CHECK(status_of(raw.reply()) == 500);
    CHECK(body_of(raw.reply()).substr(0, 16) == "bodyheadbodyhead");
    CHECK(body_of(raw.reply()) == "quick");
    CHECK(status_of(raw.reply()) == 500);
    CHECK(body_of(raw.reply()).size() == 800);
  }
  CHECK_FALSE(mixed);
}

TEST_CASE("what is left to do after a reply keeps its client not waiting, and has the body") {
  Server server;
  Gate gate;
  std::mutex mutex;
  std::vector<std::string> done;
  server.route("POST", "/later", [&](const Request& q, Response& r) {
    r.body = "reply";
    r.afterwards = [&, body = q.body] {
      gate.pass();
      const std::lock_guard lock(mutex);
      done.emplace_back(body);
    };
  });
  server.route("GET", "/throw", [](const Request&, Response& r) {
    r.body = "thrown";
    r.afterwards = [] { throw std::runtime_error("as it should"); };
  });
  server.route("GET", "/hello", [](const Request&, Response& r) { r.body = "hello"; });
  REQUIRE(server.listen("127.0.0.1:0").has_value());
  const std::string post = "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbod";
  Raw raw = Raw::connect(server.port());
  raw.send(post + "1" + get("/throw") + post + "2" + get("/hello"));
  CHECK(body_of(raw.reply()) == "reply");  // while the gate is shut
  gate.await(1);
  gate.open();
  CHECK(body_of(raw.reply()) == "thrown");
  CHECK(body_of(raw.reply()) == "reply");
  CHECK(body_of(raw.reply()) == "hello");
  const std::lock_guard lock(mutex);
  CHECK(done == std::vector<std::string>{"bod1", "bod2"});
}

TEST_CASE("clients that vanish while handlers run") {
  Fixture f({.max_active = 1, .slow_threads = 1});
  f.listen();
  Raw work = f.send("/work");
  Raw slow = f.send("/slow");
  f.gate.await(1);
  f.slow_gate.await(1);
  work.reset();
  slow.reset();
  for (Raw& raw : f.queue("/work", 2)) raw.reset();
  for (Raw& raw : f.queue("/slow", 2)) raw.reset();
  f.gate.open();
  f.slow_gate.open();
  CHECK(body_of(f.send("/work").reply()) == "work");
  CHECK(body_of(f.send("/slow").reply()) == "slow");
}

/// Returns when the server has begun to stop.
void await_stopping(std::uint16_t port) {
  await([&] {
    try {
      Raw::connect(port);
      return false;
    } catch (const std::runtime_error&) {
      return true;
    }
  });
}

TEST_CASE("stop lets those who run and wait finish, and sends those who wait for slow ones away") {
  Fixture f({.max_active = 1, .slow_threads = 1});
  f.listen();
  const std::uint16_t port = f.server.port();
  Raw running = f.send("/work");
  Raw slow = f.send("/slow");
  f.gate.await(1);
  f.slow_gate.await(1);
  std::vector<Raw> waiting = f.queue("/work", 2);
  std::vector<Raw> waiting_slow = f.queue("/slow", 2);
  std::size_t left = 99;
  std::thread stopping([&] { left = f.server.stop(); });
  await_stopping(port);
  for (Raw& raw : waiting_slow) CHECK(body_of(raw.receive_all()) == "neutral");
  f.gate.open();
  f.slow_gate.open();
  CHECK(body_of(running.receive_all()) == "work");
  CHECK(body_of(slow.receive_all()) == "slow");
  for (Raw& raw : waiting) {
    const std::string reply = raw.receive_all();
    CHECK(body_of(reply) == "work");
    CHECK(reply.find("Connection: close\r\n") != std::string::npos);
  }
  stopping.join();
  CHECK(left == 0);
  CHECK(f.server.stop() == 0);
}

TEST_CASE("stop leaves a slow handler behind that does not end, and frees what it uses after it") {
  struct Shared {
    Gate gate;
    std::mutex mutex;
    std::string seen;
  };
  const auto shared = std::make_shared<Shared>();
  std::weak_ptr<int> in_handler;
  {
    Server server({.slow_threads = 2}, 2);
    const auto token = std::make_shared<int>(1);
    in_handler = token;
    server.route("POST", "/stuck",
                 [shared, token](const Request& q, Response& r) {
                   shared->gate.pass();  // until long after the server has gone
                   const std::lock_guard lock(shared->mutex);
                   shared->seen =
                       std::string(q.path) + std::string(q.header("x")) + std::string(q.body);
                   r.gzip = true;
                   r.body.assign(100'000, 'r');
                 },
                 {.slow = true});
    REQUIRE(server.listen("127.0.0.1:0").has_value());
    std::vector<Raw> clients;
    for (int i = 0; i < 3; ++i) {  // one of them in the queue
      clients.push_back(Raw::connect(server.port()));
      clients.back().send(
          "POST /stuck HTTP/1.1\r\nHost: x\r\nX: head\r\nContent-Length: 4\r\n\r\nbody");
      await(
          [&] { return server.stats().slow_active + server.stats().slow_queued > std::size_t(i); });
    }
    shared->gate.await(2);
    CHECK(server.stop() == 2);
    std::string replies;
    for (Raw& raw : clients) replies += raw.receive_all();
    CHECK(status_of(replies) == 503);  // the one that waited; the others end without a word
    CHECK(body_of(replies).empty());
  }
  REQUIRE_FALSE(in_handler.expired());
  shared->gate.open();
  await([&] { return in_handler.expired(); });
  const std::lock_guard lock(shared->mutex);
  CHECK(shared->seen == "/stuckheadbody");
}

TEST_CASE("a server that is destroyed while requests wait") {
  for (int i = 0; i < 20; ++i) {
    Fixture f({.max_active = 1, .max_queued = 2, .slow_threads = 1, .slow_queue = 2});
    f.listen();
    std::vector<Raw> clients;
    for (int c = 0; c < 6; ++c) clients.push_back(f.send(c % 2 == 0 ? "/work" : "/slow"));
    f.gate.open();
    f.slow_gate.open();
    if (i % 2 == 0) clients.clear();
  }
}

/// Answers `pieces` pieces of 100,000 bytes, a letter each; with /broken the third one throws.
struct PiecesServer {
  static constexpr std::size_t kPiece = 100'000;
  Server server;
  std::shared_ptr<int> held = std::make_shared<int>();  ///< by each body under way

  explicit PiecesServer(ServerLimits limits = {}) : server(limits, 1) {
    const auto add = [this](const char* path, int pieces, bool breaks) {
      server.route("GET", path,
                   [held = held, pieces, breaks](const Request&, Response& r) {
                     r.gzip = true;
                     r.body.assign(kPiece, 'a');
                     r.more = [held, pieces, breaks, n = 1](std::string& piece) mutable {
                       if (breaks && n == 2) throw std::runtime_error("as it should");
                       piece.assign(kPiece, static_cast<char>('a' + n % 26));
                       return ++n < pieces;
                     };
                   },
                   {.slow = true});
    };
    add("/pieces", 3, false);
    add("/broken", 4, true);
    add("/endless", 1'000'000, false);
    REQUIRE(server.listen("127.0.0.1:0").has_value());
  }
  static std::string whole() {
    return std::string(kPiece, 'a') + std::string(kPiece, 'b') + std::string(kPiece, 'c');
  }
  [[nodiscard]] std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(server.port()) + path;
  }
  void await_none_held() const {
    await([this] { return held.use_count() == 4; });  // ours, and the three routes'
  }
};

std::string joined_chunks(std::string_view chunked) {
  std::string out;
  while (!chunked.empty()) {
    const std::size_t line = chunked.find("\r\n");
    REQUIRE(line != std::string_view::npos);
    const std::size_t size = std::stoul(std::string(chunked.substr(0, line)), nullptr, 16);
    out += chunked.substr(line + 2, size);
    chunked.remove_prefix(line + 2 + size + 2);
  }
  return out;
}

TEST_CASE("a body in pieces is chunked, compressed as one, and the connection goes on") {
  const PiecesServer f;
  const auto reply = http::get(f.url("/pieces"));
  REQUIRE(reply.has_value());
  CHECK(reply->body == PiecesServer::whole());
  const Raw gzip = Raw::connect(f.server.port());
  gzip.send(
      "GET /pieces HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
  const std::string compressed = gzip.receive_all();
  CHECK(compressed.find("Content-Encoding: gzip\r\n") != std::string::npos);
  const auto plain = gzip_decompress(joined_chunks(body_of(compressed)), 1'000'000);
  REQUIRE(plain.has_value());
  CHECK(*plain == PiecesServer::whole());
  const Raw raw = Raw::connect(f.server.port());
  raw.send(get("/pieces") + get("/pieces"));
  std::string both;
  const std::string end = "\r\n0\r\n\r\n";
  const auto ends = [&] {
    const std::size_t first = both.find(end);
    return first != std::string::npos && both.find(end, first + 1) != std::string::npos;
  };
  while (!ends()) {
    const std::string block = raw.receive();
    REQUIRE_FALSE(block.empty());
    both += block;
  }
  CHECK(both.find("Transfer-Encoding: chunked\r\n") < both.find("\r\n\r\n"));
  CHECK(both.find("Content-Length") == std::string::npos);
  CHECK(both.find("\r\n\r\n186a0\r\naaa") != std::string::npos);
  f.await_none_held();
}

TEST_CASE("a body in pieces ends with the connection of HTTP/1.0, and HEAD has none of it") {
  const PiecesServer f;
  const Raw old = Raw::connect(f.server.port());
  old.send("GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const std::string all = old.receive_all();
  CHECK(all.find("chunked") == std::string::npos);
  CHECK(body_of(all) == PiecesServer::whole());
  Raw head = Raw::connect(f.server.port());
  head.send("HEAD /pieces HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(body_of(head.reply(true)).empty());
  head.send("GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(status_of(head.reply()) == 404);
  f.await_none_held();
}

TEST_CASE("a body that breaks off ends the connection, so that nobody takes it for whole") {
  const PiecesServer f;
  const Raw raw = Raw::connect(f.server.port());
  raw.send(get("/broken"));
  const std::string all = raw.receive_all();
  CHECK(status_of(all) == 200);
  CHECK(all.find('b') != std::string::npos);
  CHECK(all.find("\r\n0\r\n\r\n") == std::string::npos);
  CHECK_FALSE(http::get(f.url("/broken")).has_value());
  f.await_none_held();
}

std::vector<Raw> ask_for_endless(const PiecesServer& f, int clients) {
  std::vector<Raw> all;
  for (int i = 0; i < clients; ++i) {
    all.push_back(Raw::connect(f.server.port()));
    all.back().send(get("/endless"));
    REQUIRE_FALSE(all.back().receive().empty());
  }
  return all;
}

TEST_CASE("who does not read a body in pieces holds no thread, and goes with its connection") {
  const PiecesServer f({.slow_threads = 1});
  std::vector<Raw> lazy = ask_for_endless(f, 3);
  const auto reply = http::get(f.url("/pieces"));  // meanwhile
  REQUIRE(reply.has_value());
  CHECK(reply->body == PiecesServer::whole());
  for (Raw& raw : lazy) raw.reset();
  f.await_none_held();
}

TEST_CASE("a body in pieces has one deadline as a whole") {
  const PiecesServer f({.write_timeout = milliseconds(100)});
  const std::vector<Raw> lazy = ask_for_endless(f, 1);
  f.await_none_held();
}

}  // namespace
}  // namespace optipod::http
