// SPDX-License-Identifier: Apache-2.0
//
// What the network may do to a server: each attack gets its answer, costs bounded memory and time,
// and does not keep others from being served.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/http/server.hpp"
#include "tests/common/raw_socket.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http {
namespace {

using std::chrono::milliseconds;
using test::body_of;
using test::Raw;
using test::status_of;

constexpr const char* kGet = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr std::size_t kMiB = 1024 * 1024;

ServerLimits quick_limits() {
  ServerLimits limits;
  limits.read_timeout = milliseconds(400);
  limits.write_timeout = milliseconds(400);
  limits.idle_timeout = milliseconds(5'000);
  return limits;
}

struct Fixture {
  explicit Fixture(ServerLimits limits = quick_limits()) : server(limits, 2) {
    server.route("GET", "/hello", [](const Request&, Response& r) { r.body = "hello"; });
    server.route("POST", "/echo", [this](const Request& q, Response& r) {
      ++handled;
      r.body = q.body;
    });
    server.route("GET", "/some", [](const Request&, Response& r) { r.body.assign(kMiB, 's'); });
    server.route("GET", "/big", [](const Request&, Response& r) { r.body.assign(32 * kMiB, 'b'); });
    REQUIRE(server.listen("127.0.0.1:0").has_value());
  }
  Raw connect() const { return Raw::connect(server.port()); }
  /// A peer who behaves is served.
  void check_alive() const {
    Raw raw = connect();
    raw.send(kGet);
    const std::string reply = raw.reply();
    INFO("the whole reply: " << reply);
    CHECK(body_of(reply) == "hello");
  }
  /// Sends all of it, then expects this status, no body, and the end of the connection.
  void check_refused(const std::string& request, unsigned status) const {
    INFO(request.substr(0, 200));
    Raw raw = connect();
    raw.send(request);
    const std::string reply = raw.receive_all();
    CHECK(status_of(reply) == status);
    CHECK(body_of(reply).empty());
    CHECK(reply.find("Content-Length: 0\r\n") != std::string::npos);
    CHECK(reply.find("Connection: close\r\n") != std::string::npos);
  }

  std::atomic<int> handled{0};
  Server server;
};

std::string post(const std::string& lines, const std::string& body = "") {
  return "POST /echo HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n" + body;
}

TEST_CASE("malformed requests are 400, and nothing behind them is believed") {
  const Fixture f;
  f.check_refused("garbage\r\n\r\n", 400);
  f.check_refused(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + "\r\n\r\n",
                  400);
  f.check_refused("GET /hello HTTP/1.1\r\n\r\n", 400);
  f.check_refused("GET /hello%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400);
  f.check_refused("GET /hello%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400);
  f.check_refused("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400);
  f.check_refused(post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400);
  f.check_refused(post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400);
  f.check_refused(post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400);
  f.check_refused(post("Content-Length: -3\r\n", "abc"), 400);
  f.check_refused(post("Transfer-Encoding: gzip\r\n", "abc"), 400);
  f.check_refused(post("Transfer-Encoding: chunked\r\n", "-2\r\nab\r\n0\r\n\r\n"), 400);
  f.check_refused(post("Transfer-Encoding: chunked\r\n", "zz\r\n"), 400);
  f.check_refused(post("Transfer-Encoding: chunked\r\n", "2\r\nabc\r\n0\r\n\r\n"), 400);
  f.check_refused(std::string("garbage\r\n\r\n") + kGet + kGet, 400);
  CHECK(f.handled == 0);
  f.check_alive();
}

TEST_CASE("bodies beyond the limit are 413 before they are received") {
  const Fixture f;
  const std::size_t before = test::resident_bytes();
  f.check_refused(post("Content-Length: 1048577\r\n"), 413);
  f.check_refused(post("Content-Length: 18446744073709551615\r\n"), 413);
  f.check_refused(post("Content-Length: 2000000\r\n", std::string(2'000'000, 'x')), 413);
  f.check_refused(post("Transfer-Encoding: chunked\r\n", "fffffffffffffff\r\nabc"), 413);
  f.check_refused(post("Transfer-Encoding: chunked\r\n", "7fffffff\r\nabc"), 413);
  Raw raw = f.connect();
  raw.send(post("Transfer-Encoding: chunked\r\n"));
  const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  int sent = 0;
  while (sent < 4096 && raw.send(chunk)) ++sent;  // 256 MiB, if anybody takes them
  CHECK(sent < 1024);
  CHECK(f.handled == 0);
  CHECK(test::resident_bytes() < before + 16 * kMiB);
  f.check_alive();
}

TEST_CASE("endless heads are 431") {
  const Fixture f;
  const std::size_t before = test::resident_bytes();
  f.check_refused("GET /hello HTTP/1.1\r\nHost: x\r\nX: " + std::string(20'000, 'y') + "\r\n\r\n",
                  431);
  f.check_refused(std::string(40'000, 'A'), 431);
  std::string many = "GET /hello HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 5'000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  f.check_refused(many, 431);
  Raw raw = f.connect();
  const std::string block(64 * 1024, 'z');
  int sent = 0;
  while (sent < 4096 && raw.send(block)) ++sent;
  CHECK(sent < 1024);
  CHECK(test::resident_bytes() < before + 16 * kMiB);
  f.check_alive();
}

TEST_CASE("endless trailers and extensions end") {
  const Fixture f;
  for (const char* start : {"0\r\n", "1;"}) {
    Raw raw = f.connect();
    raw.send(post("Transfer-Encoding: chunked\r\n", start));
    const std::string block = "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
    int sent = 0;
    while (sent < 1'000'000 && raw.send(block)) ++sent;
    CHECK(sent < 1'000'000);
  }
  CHECK(f.handled == 0);
  f.check_alive();
}

TEST_CASE("a slow request is 408 at its deadline, however busily it drips") {
  const Fixture f;
  for (const std::string& start :
       {std::string("GET /hello HTTP/1.1\r\n"), post("Content-Length: 1000\r\n"),
        post("Transfer-Encoding: chunked\r\n", "3e8\r\n")}) {
    Raw raw = f.connect();
    raw.send(start);
    bool ended = false;
    for (int i = 0; i < 200 && !ended; ++i) {
      raw.send(start[0] == 'G' ? "X" : "y");
      ended = raw.closed_within(milliseconds(25));
      if (!ended) {
        pollfd event{raw.fd(), POLLIN, 0};
        ended = poll(&event, 1, 0) > 0;
      }
    }
    CHECK(ended);
    const std::string reply = raw.receive_all();
    CHECK(status_of(reply) == 408);
    CHECK(body_of(reply).empty());
  }
  CHECK(f.handled == 0);
}

TEST_CASE("an idle connection is closed without a word; a quick next request is served") {
  ServerLimits limits = quick_limits();
  limits.idle_timeout = milliseconds(300);
  const Fixture f(limits);
  Raw fresh = f.connect();
  Raw used = f.connect();
  for (int i = 0; i < 5; ++i) {  // longer than the limit in all, never idle for so long
    used.send(kGet);
    CHECK(body_of(used.reply()) == "hello");
    std::this_thread::sleep_for(milliseconds(80));
  }
  CHECK(fresh.receive().empty());
  CHECK(used.receive().empty());
}

TEST_CASE("a reader who does not read is cut off") {
  const Fixture f;
  Raw raw = f.connect();
  raw.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  std::this_thread::sleep_for(milliseconds(900));
  CHECK(raw.receive_all().size() < 32 * kMiB);
  f.check_alive();
}

TEST_CASE("peers who vanish: reset in every phase") {
  const Fixture f;
  for (int i = 0; i < 30; ++i) {
    for (const std::string& part :
         {std::string(), std::string("GET /he"), std::string(kGet),
          post("Content-Length: 100000\r\n", std::string(500, 'x')),
          post("Transfer-Encoding: chunked\r\n", "ff\r\nabc"),
          std::string("GET /some HTTP/1.1\r\nHost: x\r\n\r\n"), std::string("bad\r\n\r\n")}) {
      Raw raw = f.connect();
      raw.send(part);
      if (i % 2 == 0) {
        raw.reset();
      } else {
        raw.end_of_sending();
      }
    }
  }
  f.check_alive();
}

TEST_CASE("a request cut short is not handled") {
  const Fixture f;
  for (const std::string& part : {post("Content-Length: 10\r\n", "short"),
                                  post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n")}) {
    Raw raw = f.connect();
    raw.send(part);
    raw.end_of_sending();
    CHECK(raw.receive_all().empty());
  }
  CHECK(f.handled == 0);
}

TEST_CASE("large bodies share what there is for them; small ones are always taken") {
  ServerLimits limits;
  limits.max_body_bytes = 8 * kMiB;
  limits.max_all_bodies_bytes = 20 * kMiB;
  const Fixture f(limits);
  const std::string half(5 * kMiB, 'x');  // its buffer is 8 MiB, of which 7 count
  const auto begin = [&] {
    Raw raw = f.connect();
    raw.send(post("Content-Length: " + std::to_string(8 * kMiB) + "\r\n", half));
    return raw;
  };
  std::vector<Raw> held;
  for (int i = 0; i < 2; ++i) held.push_back(begin());
  int refused = 0;
  for (int i = 0; i < 4; ++i) {
    Raw third = begin();
    if (status_of(third.receive_all()) == 503) ++refused;
  }
  CHECK(refused == 4);
  Raw small = f.connect();
  small.send(post("Content-Length: 500000\r\n", std::string(500'000, 's')));
  CHECK(body_of(small.reply()).size() == 500'000);
  for (Raw& raw : held) {  // they have theirs
    raw.send(std::string(3 * kMiB, 'y'));
    CHECK(body_of(raw.reply()).size() == 8 * kMiB);
  }
  Raw next = begin();  // what the others gave back
  next.send(std::string(3 * kMiB, 'y'));
  CHECK(body_of(next.reply()).size() == 8 * kMiB);
}

TEST_CASE("600 idle connections do not starve others") {
  ServerLimits limits;  // as shipped: 512 connections
  const Fixture f(limits);
  std::vector<Raw> idle;
  for (int i = 0; i < 600; ++i) idle.push_back(f.connect());
  for (int i = 0; i < 20; ++i) f.check_alive();
  // The oldest made room.
  CHECK(idle.front().closed_within(milliseconds(2'000)));
  CHECK_FALSE(idle.back().closed_within(milliseconds(0)));
}

TEST_CASE("connections that are busy are not evicted: one more is told 503") {
  ServerLimits limits;
  limits.max_connections = 8;
  const Fixture f(limits);
  std::vector<Raw> busy;
  unsigned status = 0;
  std::string reply;
  for (int i = 0; i < 40 && status == 0; ++i) {
    Raw raw = f.connect();
    raw.send("GET /hello HT");
    reply = raw.receive(milliseconds(50));  // nothing, unless it is refused
    status = status_of(reply);
    if (status == 0) busy.push_back(std::move(raw));
  }
  CHECK(busy.size() >= 8);
  CHECK(status == 503);
  CHECK(body_of(reply).empty());
  CHECK(reply.find("Retry-After: 1\r\n") != std::string::npos);
  int served = 0;
  for (Raw& raw : busy) {
    raw.send("TP/1.1\r\nHost: x\r\n\r\n");
    if (body_of(raw.reply()) == "hello") ++served;
  }
  CHECK(served == 8);
  busy.clear();
  f.check_alive();
}

TEST_CASE("running out of descriptors is survived") {
  const Fixture f;
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
  Raw probe = f.connect();
  rlimit tight = old;
  tight.rlim_cur = static_cast<rlim_t>(probe.fd()) + 8;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
  {
    std::vector<Raw> all;
    try {
      for (int i = 0; i < 50; ++i) all.push_back(f.connect());
    } catch (const std::runtime_error&) {
      // The client's side of this process is out of descriptors too: what was wanted.
    }
    std::this_thread::sleep_for(milliseconds(150));
    REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
  }
  f.check_alive();
}

TEST_CASE("noise: random bytes and mutated requests never stop the server") {
  const Fixture f;
  std::mt19937 random(99);
  const std::string seeds[] = {kGet, post("Content-Length: 5\r\n", "hello"),
                               post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")};
  for (int round = 0; round < 500; ++round) {
    std::string text = seeds[random() % 3] + seeds[random() % 3];
    for (auto n = random() % 6; n > 0; --n) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 8);
          text.push_back(' ');
          break;
        default:
          text.insert(at, "\r\n0:;, -", random() % 8);
      }
    }
    Raw raw = f.connect();
    raw.send(text);
    raw.end_of_sending();
    const std::string reply = raw.receive_all();
    const bool sensible = reply.empty() || status_of(reply) != 0;
    REQUIRE(sensible);
  }
  f.check_alive();
}

}  // namespace
}  // namespace optipod::http
