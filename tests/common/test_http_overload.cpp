// SPDX-License-Identifier: Apache-2.0
//
// More requests than a server can handle at once: who waits, who is turned away, and that nobody
// else notices.
#include <netinet/tcp.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/http/lane.hpp"
#include "common/http/standard_routes.hpp"
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
