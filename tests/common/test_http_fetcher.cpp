// SPDX-License-Identifier: Apache-2.0
//
// The Fetcher's connections that stand, and many requests at once.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
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

TEST_CASE("a Fetcher keeps connections, one for one after the other") {
  const RawServer server(always(ok("kept"), false));
  {
    Waiting waiting;
    for (int i = 0; i < 20; ++i) CHECK(waiting.get(server.url())->body == "kept");
    CHECK(server.connections() == 1);
  }
  const RawServer closing(always(ok("closed", "Connection: close\r\n")));
  Waiting waiting;
  for (int i = 0; i < 3; ++i) CHECK(waiting.get(closing.url())->body == "closed");
  CHECK(closing.connections() == 3);
  // Something unasked behind the reply: that connection is not used again.
  const RawServer chatty(always(ok("reply") + "HTTP/1.1 200 OK\r\n\r\n", false));
  for (int i = 0; i < 3; ++i) CHECK(waiting.get(chatty.url())->body == "reply");
  CHECK(chatty.connections() == 3);
}

/// Connections to it stand, and are never accepted.
class Deaf {
 public:
  Deaf() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(fd_, any, size) == 0);
    REQUIRE(listen(fd_, 256) == 0);
    REQUIRE(getsockname(fd_, any, &size) == 0);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
  }
  ~Deaf() { close(fd_); }
  Deaf(const Deaf&) = delete;
  Deaf& operator=(const Deaf&) = delete;
  [[nodiscard]] const std::string& url() const { return url_; }

 private:
  int fd_;
  std::string url_;
};

TEST_CASE("peers that hang leave descriptors to others, and who is not asked is told why") {
  constexpr int kAsks = 120;
  const Deaf deaf;
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
  rlimit tight = old;
  tight.rlim_cur = 128;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
  std::mutex mutex;
  std::condition_variable changed;
  int not_asked = 0, late = 0, other = 0;
  bool room = false;
  {
    Fetcher fetcher(1);
    for (int i = 0; i < kAsks; ++i) {
      fetcher.get(deaf.url(), {.timeout = std::chrono::milliseconds(500)}, [&](ClientResult&& r) {
        const std::lock_guard lock(mutex);
        const bool too_late = !r && r.error().kind == ClientError::Kind::kTimeout;
        const bool full = !r && r.error().what.find("limit on open files") != std::string::npos;
        ++(too_late ? late : full ? not_asked : other);
        changed.notify_all();
      });
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return not_asked + other + late >= kAsks - 96; });
    const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    room = file >= 0;
    if (room) close(file);
    changed.wait(lock, [&] { return not_asked + other + late == kAsks; });
  }
  REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
  CHECK(room);
  CHECK(not_asked == kAsks - 96);  // a quarter of 128 is left
  CHECK(late == 96);
  CHECK(other == 0);
}

TEST_CASE("a kept connection that died is replaced without anybody noticing, once") {
  // Serves one request a connection, promises to go on, and goes.
  const RawServer liar([](Raw& raw, int) {
    RawServer::read_head(raw);
    raw.send(ok("again"));
  });
  Waiting waiting;
  for (int i = 0; i < 10; ++i) {
    const auto reply = waiting.get(liar.url());
    INFO((reply ? "" : reply.error().what));
    REQUIRE(reply.has_value());
    CHECK(reply->body == "again");
  }
  // Here the new connection fails too: that is an error, not a loop.
  const RawServer worse([](Raw& raw, int number) {
    if (number > 0) return;
    RawServer::read_head(raw);
    raw.send(ok("first"));
    RawServer::read_head(raw);
  });
  CHECK(waiting.get(worse.url()).has_value());
  CHECK_FALSE(waiting.get(worse.url()).has_value());
  CHECK(worse.connections() == 2);
}

TEST_CASE("replies of every kind over a connection that stands") {
  const std::string gzipped = [] {
    std::string out;
    REQUIRE(gzip_compress("unpacked", out));
    return out;
  }();
  const std::string large(600'000, 'l');  // more than is received at once
  const std::vector<std::pair<std::vector<std::string>, std::string>> replies{
      {{ok("whole")}, "whole"},
      {{"HTTP/1.1 200 OK\r\nContent-Len", "gth: 9\r\n\r\nin pi", "eces"}, "in pieces"},
      {{"HTTP/1.1 100 Continue\r\n\r\n" + ok("in the end")}, "in the end"},
      {{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nchunked\r\n0\r\n\r\n"},
       "chunked"},
      {{ok(gzipped, "Content-Encoding: gzip\r\n")}, "unpacked"},
      {{"HTTP/1.1 204 No Content\r\n\r\n"}, ""},
      {{ok("")}, ""},
      {{ok(large)}, large},
      {{"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"}, "gone"},
      {{ok("whole again")}, "whole again"}};
  const RawServer server([&](Raw& raw, int) {
    for (std::size_t i = 0;; i = (i + 1) % replies.size()) {
      if (RawServer::read_head(raw).empty()) return;
      for (const std::string& piece : replies[i].first) {
        if (!raw.send(piece)) return;
        std::this_thread::sleep_for(milliseconds(replies[i].first.size() > 1 ? 20 : 0));
      }
    }
  });
  Waiting waiting;
  for (int round = 0; round < 2; ++round) {
    for (const auto& [pieces, body] : replies) {
      const Result reply = waiting.get(server.url());
      INFO(pieces[0].substr(0, 200));
      REQUIRE(reply.has_value());
      CHECK((reply->body == body));
    }
  }
  CHECK(server.connections() == 1);
}

TEST_CASE("a connection that stands is no reason to wait or to take more") {
  // After one good reply: nothing, then a body that is too large, then no HTTP.
  const auto after_one = [](std::string bytes) {
    return [bytes = std::move(bytes)](Raw& raw, int) {
      RawServer::read_head(raw);
      raw.send(ok("first"));
      RawServer::read_head(raw);
      raw.send(bytes);
      hold(raw);
    };
  };
  const std::vector<std::pair<std::string, ClientError::Kind>> bad{
      {"", ClientError::Kind::kTimeout},
      {ok(std::string(101, 'x')), ClientError::Kind::kTooLarge},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", ClientError::Kind::kConnection}};
  for (const auto& [bytes, kind] : bad) {
    INFO(bytes);
    const RawServer server(after_one(bytes));
    Waiting waiting;
    REQUIRE(waiting.get(server.url(), within(seconds(20), 100)).has_value());
    const Result reply = waiting.get(
        server.url(), within(bytes.empty() ? milliseconds(200) : milliseconds(20'000), 100));
    REQUIRE_FALSE(reply.has_value());
    CHECK(reply.error().kind == kind);
    CHECK(contains(reply.error().what, server.url()));
    CHECK(waiting.begun == waiting.ended);
  }
}

/// Waits for many callbacks.
struct Count {
  void one(bool is_good) {
    const std::lock_guard lock(mutex);
    ++ended;
    good += is_good ? 1 : 0;
    changed.notify_all();
  }
  bool wait_for(int wanted) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, seconds(30), [&] { return ended >= wanted; });
  }
  std::mutex mutex;
  std::condition_variable changed;
  int ended = 0, good = 0;
};

TEST_CASE("hundreds at once, good and bad, on several threads: each ends exactly once") {
  ServerLimits limits;
  limits.max_connections = 2'000;
  Server server(limits, 2);
  server.route("GET", "/metrics", [](const Request&, Response& r) { r.body.assign(5'000, 'm'); });
  REQUIRE(server.listen("127.0.0.1:0").has_value());
  const std::string good_url = "http://127.0.0.1:" + std::to_string(server.port()) + "/metrics";
  const RawServer silent([](Raw& raw, int) { hold(raw); });
  Fetcher fetcher(3);
  Count count;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 300; ++i) {
      fetcher.get(good_url, within(seconds(20)), [&](Result r) {
        count.one(r.has_value() && r->status == 200 && r->body.size() == 5'000);
      });
    }
    for (int i = 0; i < 20; ++i) {
      fetcher.get(silent.url(), within(milliseconds(200)), [&](Result r) { count.one(!r); });
    }
    REQUIRE(count.wait_for((round + 1) * 320));
  }
  const std::lock_guard lock(count.mutex);
  CHECK(count.ended == 640);
  CHECK(count.good == 640);
}

TEST_CASE("a thread asks all of a host:port, and receives what it has asked") {
  const RawServer server(always(ok("x"), false));
  Fetcher fetcher(3);
  std::set<unsigned> used;
  for (int port = 1; port < 100; ++port) {
    const std::string host = "http://127.0.0.1:" + std::to_string(port);
    const unsigned thread = fetcher.thread_of(host + "/metrics");
    CHECK(thread == fetcher.thread_of(host + "/other?x=1"));
    used.insert(thread);
  }
  CHECK(used == std::set<unsigned>{0, 1, 2});
  CHECK(fetcher.thread_of("nonsense") < 3);

  struct One : Fetcher::Receiver {
    void receive(Fetcher::Answer answer) override {
      by.push_back(std::this_thread::get_id());
      count->one(answer && answer->body == "x" && answer->content_type == "text/x");
    }
    Count* count = nullptr;
    std::vector<std::thread::id> by;  ///< a race, if these were different threads
  };
  Count count;
  const auto one = std::make_shared<One>();
  one->count = &count;
  const auto request =
      Fetcher::prepare(server.url(), std::make_shared<const ClientOptions>(within(seconds(20))));
  for (int i = 0; i < 20; ++i) {
    std::vector<Fetcher::Ask> asks(5, Fetcher::Ask{request, one});
    fetcher.get(std::move(asks));
    REQUIRE(count.wait_for(5 * (i + 1)));
  }
  const std::lock_guard lock(count.mutex);
  CHECK(count.good == 100);
  CHECK(std::set(one->by.begin(), one->by.end()).size() == 1);
}

TEST_CASE("destroying a Fetcher ends what is under way") {
  const RawServer silent([](Raw& raw, int) { hold(raw); });
  Count count;
  {
    Fetcher fetcher(2);
    for (int i = 0; i < 20; ++i) {
      fetcher.get(silent.url(), within(seconds(60)), [&](Result r) {
        const bool cancelled = !r.has_value() && contains(r.error().what, "cancelled");
        count.one(cancelled);
      });
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  CHECK(count.ended == 20);
  CHECK(count.good == 20);
}

TEST_CASE("destroying a Fetcher ends what waits on connections that stand, and their replies") {
  // Each answers once, and then nothing any more.
  const RawServer once([](Raw& raw, int) {
    RawServer::read_head(raw);
    raw.send(ok("first"));
    hold(raw);
  });
  Count count;
  {
    Fetcher fetcher(2);
    fetcher.get(once.url(), within(seconds(20)), [&](Result r) { count.one(r.has_value()); });
    REQUIRE(count.wait_for(1));
    fetcher.get(once.url(), within(seconds(60)), [&](Result r) {
      count.one(!r.has_value() && contains(r.error().what, "cancelled"));
    });
    std::this_thread::sleep_for(milliseconds(20));
  }
  CHECK(count.ended == 2);
  CHECK(count.good == 2);
  CHECK(once.connections() == 1);
}

TEST_CASE("a callback may ask again, and may throw") {
  const RawServer server(always(ok("x"), false));
  Fetcher fetcher(1);
  Count count;
  std::function<void(int)> chain = [&](int left) {
    fetcher.get(server.url(), {}, [&, left](Result r) {
      count.one(r.has_value());
      if (left > 0) chain(left - 1);
      throw std::runtime_error("from a callback");
    });
  };
  chain(9);
  REQUIRE(count.wait_for(10));
  CHECK(count.good == 10);
  CHECK(server.connections() <= 2);
}

}  // namespace
}  // namespace optipod::http
