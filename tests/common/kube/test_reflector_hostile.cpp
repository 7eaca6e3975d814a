// SPDX-License-Identifier: Apache-2.0
//
// API servers that lie, flood, drip and fall silent: each costs a failure and a pause, never more,
// and the reflector works again as soon as the server does.
#include <cmath>

#include "tests/common/kube/support.hpp"

namespace optipod::kube {
namespace {

using test::Api;
using test::chunk;
using test::client_for;
using test::contains;
using test::event;
using test::eventually;
using test::kWatchHead;
using test::list;
using test::Memory;
using test::milliseconds;
using test::Objects;
using test::pod;
using test::Raw;
using test::sized;
using State = ReflectorStatus::State;

constexpr std::size_t kMiB = 1024 * 1024;

ReflectorOptions strict() {
  ReflectorOptions options = test::quick();
  options.max_page_bytes = kMiB;
  options.max_event_bytes = 64 * 1024;
  options.max_objects = 100;
  options.page_objects = 10;
  return options;
}

/// Runs against `api`, whose badness must show as a failure with `message`; then `good` lets the
/// next attempts succeed.
void check_overcome(Api& api, std::atomic<bool>& bad, const std::string& message,
                    const ReflectorOptions& options = strict()) {
  Memory memory;
  const auto client = client_for(api.url());
  Reflector reflector(*client, options, memory);
  const std::size_t before = http::test::resident_bytes();
  reflector.start();
  std::string error;
  CHECK(eventually([&] {
    error = reflector.status().last_error;
    return contains(error, message) && reflector.status().failures >= 3;
  }));
  INFO(error);
  CHECK(contains(error, message));
  CHECK(http::test::resident_bytes() < before + 64 * kMiB);
  bad = false;
  CHECK(eventually([&] { return memory.objects() == Objects{{"good", "2"}}; }));
  CHECK(eventually([&] { return reflector.status().state == State::kSynced; }));
  reflector.stop();
  CHECK_FALSE(memory.listing());
}

/// Lists that are bad until told otherwise.
void bad_list(const std::string& message, const Api::Answer& answer,
              const ReflectorOptions& options = strict()) {
  Api api;
  std::atomic<bool> bad{true};
  api.on_list = [&](Raw& raw, const std::string& line) {
    bad ? answer(raw, line) : (void)raw.send(sized(list({pod("good", "2")}, "10")));
  };
  check_overcome(api, bad, message, options);
}

/// Watches that are bad until told otherwise.
void bad_watch(const std::string& message, const std::function<void(Raw&)>& answer,
               const ReflectorOptions& options = strict()) {
  Api api;
  std::atomic<bool> bad{true};
  api.on_list = [&](Raw& raw, const std::string&) {
    raw.send(sized(list({pod(bad ? "bad" : "good", bad ? "1" : "2")}, "10")));
  };
  api.on_watch = [&](Raw& raw, const std::string&) {
    if (bad) return answer(raw);
    // Whoever goes on where it was sees the same as whoever lists anew.
    raw.send(kWatchHead + chunk(event("DELETED", pod("bad", "3"))) +
             chunk(event("ADDED", pod("good", "2"))));
    api.hold(raw);
  };
  check_overcome(api, bad, message, options);
}

TEST_CASE("lists of garbage") {
  bad_list("malformed list", [](Raw& raw, const std::string&) { raw.send(sized("garbage")); });
  bad_list("malformed list: no items", [](Raw& raw, const std::string&) { raw.send(sized("{}")); });
  bad_list("malformed list", [](Raw& raw, const std::string&) {
    raw.send(sized(list({pod("x", "1"), "7"}, "10")));
  });
  bad_list("malformed reply", [](Raw& raw, const std::string&) { raw.send("garbage\r\n\r\n"); });
  bad_list("the peer closed the connection", [](Raw& raw, const std::string&) {
    raw.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"items\":[");
    raw.end_of_sending();
  });
  bad_list("Connection reset by peer", [](Raw& raw, const std::string&) { raw.reset(); });
}

TEST_CASE("lists that are too long, or do not end") {
  bad_list("body is longer than 1048576 bytes", [](Raw& raw, const std::string&) {
    raw.send("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n");
  });
  bad_list("body is longer than 1048576 bytes", [](Raw& raw, const std::string&) {
    raw.send(kWatchHead);
    const std::string block = chunk(std::string(64 * 1024, ' '));
    while (raw.send(block)) {
    }
  });
  bad_list("head is longer than", [](Raw& raw, const std::string&) {
    raw.send("HTTP/1.1 200 OK\r\n");
    while (raw.send("X-Endless: " + std::string(1024, 'x') + "\r\n")) {
    }
  });
  bad_list("list: more than 100 objects", [](Raw& raw, const std::string&) {
    raw.send(sized(list({pod("x", "1"), pod("y", "1"), pod("z", "1")}, "10", "again")));
  });
  bad_list("list: does not end after 1010 pages",
           [](Raw& raw, const std::string&) { raw.send(sized(list({}, "10", "again"))); });
  bad_list("continue token is too long", [](Raw& raw, const std::string&) {
    raw.send(sized(list({}, "10", std::string(100'000, 'x'))));
  });
  bad_list("resourceVersion or continue token is too long",
           [](Raw& raw, const std::string&) { raw.send(sized(list({}, std::string(1000, '1')))); });
}

TEST_CASE("lists that drip, or say nothing") {
  ReflectorOptions options = strict();
  options.page_timeout = milliseconds(40);
  bad_list(
      "time is up while receiving",
      [](Raw& raw, const std::string&) {
        raw.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        while (!raw.closed_within(milliseconds(5)) && raw.send(" ")) {
        }
      },
      options);
  bad_list(
      "time is up while receiving",
      [](Raw& raw, const std::string&) {
        while (!raw.closed_within(milliseconds(100))) {
        }
      },
      options);
}

TEST_CASE("watches of garbage") {
  const auto says = [](const std::string& line) {
    return [line](Raw& raw) {
      raw.send(kWatchHead + chunk(line));
      raw.closed_within(test::seconds(20));
    };
  };
  bad_watch("watch: malformed event", says("garbage\n"));
  bad_watch("type \"PARTY\" is not known", says(event("PARTY", pod("x", "1"))));
  bad_watch("no metadata.resourceVersion", says(event("ADDED", "{}")));
  bad_watch("its resourceVersion is too long",
            says(event("ADDED", pod("x", std::string(1000, '9')))));
  bad_watch("watch: 500: oh",
            says(event("ERROR", R"({"kind":"Status","code":500,"message":"oh"})")));
  bad_watch("malformed chunk", [](Raw& raw) { raw.send(kWatchHead + "zz\r\n"); });
  bad_watch("watch: status 204", [](Raw& raw) { raw.send("HTTP/1.1 204 No Content\r\n\r\n"); });
}

TEST_CASE("watches with an endless line") {
  bad_watch("watch: an event of more than 65536 bytes", [](Raw& raw) {
    raw.send(kWatchHead);
    const std::string block = chunk(std::string(16 * 1024, 'x'));
    while (raw.send(block)) {
    }
  });
  bad_watch("watch: an event of more than 65536 bytes", [](Raw& raw) {
    raw.send("HTTP/1.1 200 OK\r\n\r\n");
    const std::string block(16 * 1024, 'x');
    while (raw.send(block)) {
    }
  });
}

TEST_CASE("watches that fall silent, or drip beyond the time that was asked for") {
  ReflectorOptions options = strict();
  options.quiet_timeout = milliseconds(30);
  bad_watch(
      "time is up while receiving",
      [](Raw& raw) {
        raw.send(kWatchHead);
        raw.closed_within(test::seconds(20));
      },
      options);
  options = strict();
  options.connect_timeout = milliseconds(30);
  bad_watch(
      "time is up while receiving", [](Raw& raw) { raw.closed_within(test::seconds(20)); },
      options);
  options = strict();
  options.min_watch = options.max_watch = std::chrono::seconds(0);
  options.watch_grace = milliseconds(30);
  bad_watch(
      "the stream did not end in",
      [](Raw& raw) {
        raw.send(kWatchHead);
        while (!raw.closed_within(milliseconds(5)) && raw.send(chunk(" "))) {
        }
      },
      options);
}

TEST_CASE("a server that ends every watch at once, or says 410 for ever, is asked less and less") {
  for (const bool gone : {true, false}) {
    INFO(gone);
    Api api;
    api.on_watch = [&](Raw& raw, const std::string&) {
      raw.send(gone ? sized("", "410 Gone") : kWatchHead + test::kLastChunk);
    };
    ReflectorOptions options = strict();
    options.min_backoff = milliseconds(1);
    options.max_backoff = std::chrono::hours(1);
    Memory memory;
    const auto client = client_for(api.url());
    Reflector reflector(*client, options, memory);
    const auto begun = std::chrono::steady_clock::now();
    reflector.start();
    REQUIRE(eventually([&] { return api.watches >= 8; }));
    const int watches = api.watches;
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
    // The pauses are at least 0.5 + 1 + 2 + … ms long.
    CHECK(took.count() >= 0.5 * (std::pow(2, watches - 1) - 1));
    reflector.stop();
    CHECK(reflector.status().complete);
  }
}

}  // namespace
}  // namespace optipod::kube
