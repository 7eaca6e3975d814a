// SPDX-License-Identifier: Apache-2.0
//
// More requests than a server can handle at once: who waits, who is turned away, and that nobody
// else notices.
#include <netinet/tcp.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "common/http/lane.hpp"
#include "common/http/server.hpp"
#include "common/http/standard_routes.hpp"
#include "tests/common/gate.hpp"
#include "tests/common/raw_socket.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http {
namespace {

using std::chrono::milliseconds;
using test::await;
using test::body_of;
using test::Gate;
using test::Raw;
using test::status_of;

std::string get(const std::string& path) {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
}

/// /work stands at a gate, /slow at another; both answer "work" and "neutral" when turned away.
struct Fixture {
  explicit Fixture(ServerLimits limits, unsigned threads = 1) : server(limits, threads) {
    const Handler neutral = [](const Request&, Response& r) { r.body = "neutral"; };
    server.route("GET", "/work",
                 [this](const Request& q, Response& r) {
                   note(q.query);
                   gate.pass();
                   r.body = "work";
                 },
                 {.overloaded = neutral});
    server.route("GET", "/slow",
                 [this](const Request& q, Response& r) {
                   note(q.query);
                   slow_gate.pass();
                   r.body = "slow";
                 },
                 {.overloaded = neutral, .slow = true});
    server.route("GET", "/hello", [](const Request&, Response& r) { r.body = "hello"; });
    server.observe([this](std::string_view route, unsigned, std::chrono::nanoseconds time) {
      const std::lock_guard lock(mutex);
      if (route == "/work") times.push_back(time);
    });
  }
  ~Fixture() {
    gate.open();
    slow_gate.open();
  }
  void listen() { REQUIRE(server.listen("127.0.0.1:0").has_value()); }

  void note(std::string_view query) {
    const std::lock_guard lock(mutex);
    order.emplace_back(query);
  }
  Raw send(const std::string& path) const {
    Raw raw = Raw::connect(server.port());
    raw.send(get(path));
    return raw;
  }
  /// Requests that are known to wait, in this order: path?0, path?1, …
  std::vector<Raw> queue(const std::string& path, std::size_t count) const {
    std::vector<Raw> all;
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(send(path + "?" + std::to_string(i)));
      await([&] {
        const ServerStats now = server.stats();
        return (path == "/slow" ? now.slow_queued : now.queued) == i + 1;
      });
    }
    return all;
  }
  ServerStats::TurnedAway turned_away(const std::string& route) const {
    for (const auto& entry : server.stats().turned_away) {
      if (entry.route == route) return entry;
    }
    throw std::runtime_error("no such route in the statistics");
  }

  Gate gate, slow_gate;
  std::mutex mutex;
  std::vector<std::string> order;
  std::vector<std::chrono::nanoseconds> times;
  Server server;
};

void check_alive(Raw& raw) {
  raw.send(get("/hello"));
  CHECK(body_of(raw.reply()) == "hello");
}

TEST_CASE("requests beyond max_active wait and are handled in order") {
  Fixture f({.max_active = 1});
  f.listen();
  Raw first = f.send("/work?first");
  f.gate.await(1);
  std::vector<Raw> waiting = f.queue("/work", 5);
  CHECK(f.server.stats().active == 1);
  f.gate.open();
  CHECK(body_of(first.reply()) == "work");
  for (Raw& raw : waiting) CHECK(body_of(raw.reply()) == "work");
  CHECK(f.order == std::vector<std::string>{"first", "0", "1", "2", "3", "4"});
  CHECK(f.gate.most_at_once() == 1);
  for (Raw& raw : waiting) check_alive(raw);
  await([&] { return f.server.stats().active == 0; });
  CHECK(f.server.stats().queued == 0);
  CHECK(f.turned_away("/work").queue_full == 0);
}

TEST_CASE("max_active is the number of threads unless given") {
  Fixture f({}, 3);
  f.listen();
  std::vector<Raw> running;
  for (int i = 0; i < 3; ++i) running.push_back(f.send("/work"));
  f.gate.await(3);
  std::vector<Raw> waiting = f.queue("/work", 2);
  CHECK(f.server.stats().active == 3);
  f.gate.open();
  for (auto* all : {&running, &waiting}) {
    for (Raw& raw : *all) CHECK(body_of(raw.reply()) == "work");
  }
  CHECK(f.gate.most_at_once() <= 3);
}

TEST_CASE("a full queue turns away at once, with the route's own answer or 503") {
  Fixture f({.max_active = 2, .max_queued = 3});
  f.server.route("GET", "/plain", [&](const Request&, Response& r) { r.body = "plain"; });
  f.server.route(
      "GET", "/broken", [](const Request&, Response&) {},
      {.overloaded = [](const Request&, Response&) { throw std::runtime_error("as it should"); }});
  f.listen();
  std::vector<Raw> held;
  held.push_back(f.send("/work"));
  held.push_back(f.send("/work"));
  f.gate.await(2);
  for (Raw& raw : f.queue("/work", 3)) held.push_back(std::move(raw));

  Raw more = Raw::connect(f.server.port());  // sockets are read, and replies come, all the while
  for (int i = 0; i < 4; ++i) {
    more.send(get("/work"));
    const std::string neutral = more.reply();
    CHECK(status_of(neutral) == 200);
    CHECK(body_of(neutral) == "neutral");
  }
  more.send(get("/plain"));
  const std::string refused = more.reply();
  CHECK(status_of(refused) == 503);
  CHECK(body_of(refused).empty());
  CHECK(refused.find("Retry-After: 1\r\n") != std::string::npos);
  CHECK(refused.find("Connection: close") == std::string::npos);
  more.send("HEAD /work HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(more.reply(true).find("Content-Length: 7\r\n") != std::string::npos);
  more.send(get("/broken"));
  CHECK(status_of(more.reply()) == 500);
  more.send(get("/nothing"));
  CHECK(status_of(more.reply()) == 404);
  CHECK(f.turned_away("/work").queue_full == 5);
  CHECK(f.turned_away("/plain").queue_full == 1);
  CHECK(f.turned_away("/broken").queue_full == 1);
  CHECK(f.turned_away("/slow").queue_full == 0);
  CHECK(f.turned_away("/work").deadline == 0);

  f.gate.open();
  for (Raw& raw : held) CHECK(body_of(raw.reply()) == "work");
  for (Raw& raw : held) check_alive(raw);
  check_alive(more);
  more.send(get("/work"));
  CHECK(body_of(more.reply()) == "work");
}

TEST_CASE("no queue at all") {
  Fixture f({.max_active = 1, .max_queued = 0});
  f.listen();
  Raw held = f.send("/work");
  f.gate.await(1);
  CHECK(body_of(f.send("/work").reply()) == "neutral");
  f.gate.open();
  CHECK(body_of(held.reply()) == "work");
}

TEST_CASE("who has waited too long is answered although no place becomes free") {
  Fixture f({.max_active = 1, .queue_deadline = milliseconds(50)});
  f.listen();
  Raw held = f.send("/work?held");
  f.gate.await(1);
  std::vector<Raw> late;
  for (int i = 0; i < 3; ++i) late.push_back(f.send("/work?late"));
  for (Raw& raw : late) CHECK(body_of(raw.reply()) == "neutral");
  for (Raw& raw : late) raw.send(get("/work?again"));
  for (Raw& raw : late) CHECK(body_of(raw.reply()) == "neutral");
  CHECK(f.turned_away("/work").deadline == 6);
  CHECK(f.turned_away("/work").queue_full == 0);
  CHECK(f.server.stats().queued == 0);
  f.gate.open();
  CHECK(body_of(held.reply()) == "work");
  CHECK(f.order == std::vector<std::string>{"held"});
  for (Raw& raw : late) check_alive(raw);
  f.server.stop();
  REQUIRE(f.times.size() == 7);
  for (std::size_t i = 0; i < 6; ++i) CHECK(f.times[i] >= milliseconds(50));  // waiting counts
}

TEST_CASE("a lane: places pass on in order, and never to one who is late") {
  boost::asio::io_context io;  // nobody runs it: no timer fires
  Lane lane(io, {.max_active = 1, .max_queued = 3, .deadline = milliseconds(3'600'000)});
  const auto now = std::chrono::steady_clock::now();
  std::vector<std::pair<int, Turn>> told;
  const auto tell = [&](int who) {
    return [&told, who](Turn turn) { told.emplace_back(who, turn); };
  };
  REQUIRE(lane.try_enter());
  CHECK_FALSE(lane.try_enter());
  CHECK(lane.wait(now - std::chrono::hours(2), tell(1)) == Turn::kWait);
  CHECK(lane.wait(now, tell(2)) == Turn::kWait);
  CHECK(lane.wait(now, tell(3)) == Turn::kWait);
  CHECK(lane.wait(now, tell(4)) == Turn::kQueueFull);
  CHECK(told.empty());
  lane.leave();
  using Told = std::vector<std::pair<int, Turn>>;
  CHECK(told == Told{{1, Turn::kDeadline}, {2, Turn::kRun}});
  CHECK_FALSE(lane.try_enter());  // 2 has the place, and 3 comes before us
  CHECK(lane.load().queued == 1);
  lane.close();
  CHECK(told.back() == std::pair{3, Turn::kStopping});
  CHECK(lane.wait(now, tell(5)) == Turn::kStopping);
  lane.leave();
  CHECK(lane.load().active == 0);
  CHECK_FALSE(lane.try_enter());
  CHECK(told.size() == 3);
}

TEST_CASE("the pages every program has are answered under overload, one at a time") {
  Fixture f({.max_active = 2, .max_queued = 1, .slow_threads = 1, .slow_queue = 0});
  Gate page_gate;
  StandardRoutes pages;
  pages.render_metrics = [](std::string& out) { out += "a 1\n"; };
  add_standard_routes(f.server, std::move(pages));
  f.server.route("GET", "/page",
                 [&](const Request&, Response& r) {
                   page_gate.pass();
                   r.body = "page";
                 },
                 {.always = true});
  f.listen();
  std::vector<Raw> held;
  for (const char* path : {"/work", "/work", "/slow"}) held.push_back(f.send(path));
  f.gate.await(2);
  f.slow_gate.await(1);
  held.push_back(std::move(f.queue("/work", 1)[0]));
  Raw raw = Raw::connect(f.server.port());
  for (int i = 0; i < 20; ++i) {
    raw.send(get("/metrics"));
    CHECK(body_of(raw.reply()) == "a 1\n");
    raw.send(get("/healthz"));
    CHECK(body_of(raw.reply()) == "ok\n");
    raw.send(get("/readyz"));
    CHECK(body_of(raw.reply()) == "ready\n");
  }
  std::vector<Raw> readers;
  for (int i = 0; i < 6; ++i) readers.push_back(f.send("/page"));
  page_gate.await(1);
  raw.send(get("/work"));  // every place is taken, and one thread still reads
  CHECK(body_of(raw.reply()) == "neutral");
  page_gate.open();
  for (Raw& reader : readers) CHECK(body_of(reader.reply()) == "page");
  CHECK(page_gate.most_at_once() == 1);
}

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

/// Ends the client's side of the connection, and waits until the server's kernel knows.
void give_up(const Raw& raw) {
  raw.end_of_sending();
  await([&] {
    tcp_info info{};
    socklen_t size = sizeof info;
    REQUIRE(getsockopt(raw.fd(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
    return info.tcpi_state == TCP_FIN_WAIT2;
  });
}

TEST_CASE("a client that gives up while it waits costs no handler") {
  Fixture f({.max_active = 1, .slow_threads = 1});
  f.listen();
  for (const std::string path : {"/work", "/slow"}) {
    Gate& gate = path == "/work" ? f.gate : f.slow_gate;
    f.order.clear();
    Raw held = f.send(path + "?held");
    gate.await(1);
    std::vector<Raw> waiting = f.queue(path, 4);
    give_up(waiting[0]);
    give_up(waiting[2]);
    gate.open();
    CHECK(status_of(held.reply()) == 200);
    CHECK(status_of(waiting[1].reply()) == 200);
    CHECK(status_of(waiting[3].reply()) == 200);
    CHECK(waiting[0].receive_all().empty());
    CHECK(waiting[2].receive_all().empty());
    CHECK(f.order == std::vector<std::string>{"held", "1", "3"});
    check_alive(waiting[3]);
  }
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

TEST_CASE("many clients, few places: everybody gets an answer, and the books balance") {
  constexpr int kClients = 12;
  constexpr int kRequests = 150;
  Fixture f({.max_active = 2, .max_queued = 3, .slow_threads = 2, .slow_queue = 2}, 2);
  std::atomic<int> at_once{0}, most{0};
  f.server.route("GET", "/busy",
                 [&](const Request&, Response& r) {
                   const int now = ++at_once;
                   int seen = most.load();
                   while (seen < now && !most.compare_exchange_weak(seen, now)) {
                   }
                   std::this_thread::sleep_for(std::chrono::microseconds(100));
                   --at_once;
                   r.body = "busy";
                 },
                 {.overloaded = [](const Request&, Response& r) { r.body = "neutral"; }});
  f.gate.open();
  f.slow_gate.open();
  f.listen();
  std::atomic<int> handled{0}, neutral{0}, slow_neutral{0}, wrong{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&, c] {
      Raw raw = Raw::connect(f.server.port());
      const bool slow = c % 3 == 0;
      for (int i = 0; i < kRequests; ++i) {
        raw.send(get(slow ? "/slow" : "/busy"));
        const std::string body = body_of(raw.reply());
        ++(body == (slow ? "slow" : "busy") ? handled
           : body != "neutral"              ? wrong
           : slow                           ? slow_neutral
                                            : neutral);
      }
    });
  }
  for (auto& client : clients) client.join();
  CHECK(wrong == 0);
  CHECK(handled + neutral + slow_neutral == kClients * kRequests);
  CHECK(f.turned_away("/busy").queue_full == static_cast<std::uint64_t>(neutral));
  CHECK(f.turned_away("/slow").queue_full == static_cast<std::uint64_t>(slow_neutral));
  CHECK(most <= 2);
  CHECK(f.server.stats().queued == 0);
}

}  // namespace
}  // namespace optipod::http
