// SPDX-License-Identifier: Apache-2.0
//
// List and watch against API servers that behave as the real ones do, also on bad days.
#include "tests/common/kube/support.hpp"

namespace optipod::kube {
namespace {

using test::Api;
using test::api_status;
using test::bookmark;
using test::chunk;
using test::client_for;
using test::contains;
using test::event;
using test::eventually;
using test::kLastChunk;
using test::kWatchHead;
using test::list;
using test::Memory;
using test::Objects;
using test::pod;
using test::quick;
using test::Raw;
using test::sized;
using State = ReflectorStatus::State;

/// A reflector on an Api that was told what to say.
struct Running {
  explicit Running(Api& api, ReflectorOptions options = quick())
      : client(client_for(api.url())), reflector(*client, std::move(options), memory) {}
  void start() { reflector.start(); }
  [[nodiscard]] bool becomes(const Objects& objects) const {
    return eventually([&] { return memory.objects() == objects; });
  }
  [[nodiscard]] bool is(State state) const {
    return eventually([&] { return reflector.status().state == state; });
  }
  Memory memory;
  std::unique_ptr<Client> client;
  Reflector reflector;
};

TEST_CASE("a list in pages, then added, modified and deleted") {
  Api api;
  api.on_list = [](Raw& raw, const std::string& line) {
    if (contains(line, "continue=t%2B2")) {
      raw.send(sized(list({pod("c", "3")}, "10")));
    } else {
      raw.send(sized(list({pod("a", "1"), pod("b", "2")}, "10", "t+2")));
    }
  };
  api.on_watch = [&](Raw& raw, const std::string&) {
    raw.send(kWatchHead);
    raw.send(chunk(event("ADDED", pod("d", "11")) + event("MODIFIED", pod("a", "12"))));
    const std::string gone = event("DELETED", pod("b", "13"));
    for (const char c : gone) raw.send(chunk(std::string(1, c)));
    api.hold(raw);
  };
  ReflectorOptions options = quick();
  options.page_objects = 2;
  options.field_selector = "spec.nodeName!=";
  options.label_selector = "a in (b,c)";
  Running run(api, options);
  CHECK(run.reflector.status().state == State::kConnecting);
  run.start();
  REQUIRE(run.becomes({{"a", "12"}, {"c", "3"}, {"d", "11"}}));
  REQUIRE(eventually([&] { return run.reflector.status().events == 3; }));
  const ReflectorStatus status = run.reflector.status();
  CHECK(status.state == State::kSynced);
  CHECK(status.complete);
  CHECK(status.lists == 1);
  CHECK(status.watches == 1);
  CHECK(status.failures == 0);
  CHECK(status.last_heard.has_value());
  const auto lines = api.lines();
  REQUIRE(lines.size() == 3);
  const std::string selectors =
      "GET /api/v1/pods?fieldSelector=spec.nodeName%21%3D&labelSelector=a%20in%20%28b%2Cc%29&";
  CHECK(lines[0] == selectors + "limit=2 HTTP/1.1");
  CHECK(lines[1] == selectors + "limit=2&continue=t%2B2 HTTP/1.1");
  CHECK(contains(lines[2], selectors + "watch=true&allowWatchBookmarks=true&timeoutSeconds="));
  CHECK(contains(lines[2], "&resourceVersion=10 "));
}

TEST_CASE("a watch that the server closes goes on where it was: after an event or a bookmark") {
  Api api;
  api.on_list = [](Raw& raw, const std::string&) { raw.send(sized(list({pod("a", "1")}, "10"))); };
  api.on_watch = [&](Raw& raw, const std::string& line) {
    raw.send(kWatchHead);
    if (contains(line, "resourceVersion=10 ")) {
      raw.send(chunk(event("ADDED", pod("b", "20"))) + kLastChunk);
    } else if (contains(line, "resourceVersion=20 ")) {
      raw.send(chunk(bookmark("35")) + kLastChunk);
    } else if (contains(line, "resourceVersion=35 ")) {
      raw.send(chunk(event("MODIFIED", pod("b", "40"))));
      api.hold(raw);
    }
  };
  Running run(api);
  run.start();
  REQUIRE(run.becomes({{"a", "1"}, {"b", "40"}}));
  REQUIRE(eventually([&] { return run.reflector.status().events == 2; }));
  CHECK(run.reflector.status().bookmarks == 1);
  CHECK(run.reflector.status().failures == 0);
  CHECK(api.lists == 1);
  CHECK(api.watches == 3);
}

TEST_CASE("410 lists again, said as a status or as an event; what is gone is gone") {
  for (const bool by_status : {true, false}) {
    INFO(by_status);
    Api api;
    api.on_list = [&](Raw& raw, const std::string&) {
      raw.send(sized(api.lists == 1 ? list({pod("a", "1"), pod("b", "2")}, "10")
                                    : list({pod("b", "3")}, "50")));
    };
    api.on_watch = [&](Raw& raw, const std::string& line) {
      const std::string expired = api_status(410, "Expired", "too old resource version");
      if (contains(line, "resourceVersion=50 ")) {
        raw.send(kWatchHead);
        api.hold(raw);
      } else if (by_status) {
        raw.send(sized(expired, "410 Gone"));
      } else {
        raw.send(kWatchHead + chunk(event("ERROR", expired.substr(0, expired.size() - 1))));
        api.hold(raw);
      }
    };
    Running run(api);
    run.start();
    REQUIRE(run.becomes({{"b", "3"}}));
    REQUIRE(eventually([&] { return run.reflector.status().lists == 2; }));
    CHECK(run.reflector.status().failures == 0);
    CHECK(run.memory.abandoned == 0);
  }
}

TEST_CASE("a continue token that has expired begins the list anew, and deletes nothing") {
  Api api;
  api.on_list = [&](Raw& raw, const std::string& line) {
    if (api.lists == 2) {
      CHECK(contains(line, "continue="));
      raw.send(sized(api_status(410, "Expired", "continue token is too old"), "410 Gone"));
    } else {
      raw.send(sized(api.lists == 1 ? list({pod("a", "1")}, "10", "next")
                                    : list({pod("b", "2")}, "20")));
    }
  };
  Running run(api);
  run.start();
  REQUIRE(run.becomes({{"b", "2"}}));
  REQUIRE(run.is(State::kSynced));
  CHECK(run.memory.abandoned == 1);
  CHECK(run.memory.ended == 1);
  CHECK(contains(run.reflector.status().last_error, "list: 410: continue token is too old"));
}

TEST_CASE("errors of the server are told, and overcome; a failed watch does not list again") {
  for (const char* status :
       {"500 Internal Server Error", "401 Unauthorized", "403 Forbidden", "429 Too Many"}) {
    INFO(status);
    Api api;
    std::atomic<bool> broken{true};
    const auto answer = [&](Raw& raw) {
      raw.send(sized(api_status(0, "Why", "because of that"), status, "Retry-After: 0\r\n"));
    };
    api.on_list = [&](Raw& raw, const std::string&) {
      broken ? answer(raw) : (void)raw.send(sized(list({pod("a", "1")}, "10")));
    };
    std::atomic<bool> watch_broken{true};
    api.on_watch = [&](Raw& raw, const std::string&) {
      if (watch_broken) return answer(raw);
      raw.send(kWatchHead);
      api.hold(raw);
    };
    Running run(api);
    run.start();
    REQUIRE(run.is(State::kFailing));
    const std::string code(status, 3);
    CHECK(run.reflector.status().last_error == "list: " + code + ": because of that");
    CHECK_FALSE(run.reflector.status().complete);
    CHECK(run.memory.ended == 0);
    broken = false;
    REQUIRE(run.becomes({{"a", "1"}}));
    REQUIRE(eventually([&] {
      return run.reflector.status().last_error == "watch: " + code + ": because of that";
    }));
    CHECK(run.reflector.status().complete);
    watch_broken = false;
    REQUIRE(run.is(State::kSynced));
    // Within a version's patience one list did; beyond, all is listed anew.
    REQUIRE(eventually([&] { return run.reflector.status().watches > 0; }));
  }
}

TEST_CASE("a version that the server cannot continue is given up after a while") {
  Api api;
  api.on_list = [&](Raw& raw, const std::string&) {
    raw.send(sized(list({}, api.lists == 1 ? "999" : "5")));
  };
  api.on_watch = [&](Raw& raw, const std::string& line) {
    if (contains(line, "resourceVersion=999 ")) {  // etcd was restored from an older copy
      raw.send(
          sized(api_status(504, "Timeout", "Too large resource version"), "504 Gateway Timeout"));
      return;
    }
    raw.send(kWatchHead + chunk(event("ADDED", pod("a", "6"))));
    api.hold(raw);
  };
  Running run(api);
  run.start();
  REQUIRE(run.becomes({{"a", "6"}}));
  CHECK(api.lists == 2);
}

TEST_CASE("the server restarts: what was known stays, what changed meanwhile is seen") {
  Memory memory;
  std::unique_ptr<Client> client;
  std::unique_ptr<Reflector> reflector;
  std::uint16_t port = 0;
  {
    httplib::Server first;
    first.set_keep_alive_timeout(1);
    first.Get("/api/v1/pods", [](const httplib::Request& q, httplib::Response& r) {
      r.set_content(q.has_param("watch") ? "" : list({pod("a", "1"), pod("b", "1")}, "10"),
                    "application/json");
    });
    port = static_cast<std::uint16_t>(first.bind_to_any_port("127.0.0.1"));
    std::thread serving([&] { first.listen_after_bind(); });
    test::wait_for(first);
    client = client_for("http://127.0.0.1:" + std::to_string(port));
    reflector = std::make_unique<Reflector>(*client, quick(), memory);
    reflector->start();
    CHECK(eventually([&] { return memory.objects().size() == 2; }));
    first.stop();
    serving.join();
  }
  REQUIRE(eventually([&] { return reflector->status().state == State::kFailing; }));
  CHECK(memory.objects().size() == 2);
  httplib::Server second;
  second.set_keep_alive_timeout(1);
  second.Get("/api/v1/pods", [](const httplib::Request& q, httplib::Response& r) {
    if (q.has_param("watch")) {
      r.status = 410;
      return;
    }
    r.set_content(list({pod("b", "2")}, "30"), "application/json");
  });
  REQUIRE(second.bind_to_port("127.0.0.1", port));
  std::thread serving([&] { second.listen_after_bind(); });
  test::wait_for(second);
  CHECK(eventually([&] { return memory.objects() == Objects{{"b", "2"}}; }));
  reflector->stop();
  second.stop();
  serving.join();
}

TEST_CASE("a handler that throws costs a list, not the thread") {
  Api api;
  api.on_list = [](Raw& raw, const std::string&) {
    raw.send(sized(list({pod("a", "1"), pod("b", "2")}, "10")));
  };
  Running run(api);
  run.memory.throw_on = "b";
  run.start();
  REQUIRE(eventually([&] { return run.memory.abandoned >= 2; }));
  CHECK(contains(run.reflector.status().last_error, "exception: the handler does not like b"));
  CHECK(run.memory.ended == 0);
}

TEST_CASE("stop() returns from every state, and nothing is called after it") {
  // Not started; connecting (a full backlog answers nothing); waiting for a head; in a list's body;
  // in a watch; pausing after a failure.
  SECTION("not started") {
    Api api;
    Running run(api);
    run.reflector.stop();
  }
  SECTION("connecting") {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = http::test::loopback(0);
    socklen_t size = sizeof address;
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(fd, 0) == 0);
    REQUIRE(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    const Raw fills(Raw::connect(ntohs(address.sin_port)));  // the backlog has room for one
    Memory memory;
    const auto client = client_for("http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
    Reflector reflector(*client, quick(), memory);
    reflector.start();
    REQUIRE(eventually([&] { return reflector.status().state == State::kSyncing; }));
    reflector.stop();
    CHECK(reflector.status().failures == 0);
    close(fd);
  }
  SECTION("waiting for the head of a list") {
    Api api;
    api.on_list = [&](Raw& raw, const std::string&) { api.hold(raw); };
    Running run(api);
    run.start();
    REQUIRE(eventually([&] { return api.lists == 1; }));
    run.reflector.stop();
    CHECK(run.reflector.status().failures == 0);
  }
  SECTION("in a list's second page") {
    Api api;
    api.on_list = [&](Raw& raw, const std::string&) {
      if (api.lists == 1) {
        raw.send(sized(list({pod("a", "1")}, "10", "next")));
      } else {
        raw.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
        api.hold(raw);
      }
    };
    Running run(api);
    run.start();
    REQUIRE(eventually([&] { return api.lists == 2; }));
    run.reflector.stop();
    CHECK(run.memory.abandoned == 1);
    CHECK_FALSE(run.memory.listing());
  }
  SECTION("in a watch") {
    Api api;
    Running run(api);
    run.start();
    REQUIRE(eventually([&] { return run.reflector.status().watches == 1; }));
    run.reflector.stop();
    CHECK(run.reflector.status().failures == 0);
  }
  SECTION("pausing") {
    ReflectorOptions options = quick();
    options.min_backoff = options.max_backoff = std::chrono::hours(1);
    Memory memory;
    const auto client = client_for("http://127.0.0.1:1");
    Reflector reflector(*client, options, memory);
    reflector.start();
    REQUIRE(eventually([&] { return reflector.status().failures == 1; }));
    reflector.stop();
    CHECK(contains(reflector.status().last_error, "Connection refused"));
  }
  SECTION("while events pour in") {
    Api api;
    api.on_watch = [&](Raw& raw, const std::string&) {
      raw.send(kWatchHead);
      while (raw.send(chunk(event("MODIFIED", pod("a", "12"))))) {
      }
    };
    Running run(api);
    run.start();
    REQUIRE(eventually([&] { return run.reflector.status().events > 100; }));
    run.reflector.stop();
    CHECK(run.reflector.status().failures == 0);
  }
}

TEST_CASE("many reflectors share one client while it binds") {
  Api api;
  api.on_watch = [&](Raw& raw, const std::string&) {
    raw.send(kWatchHead);
    for (int i = 0; i < 200; ++i) raw.send(chunk(event("MODIFIED", pod("a", std::to_string(i)))));
    api.hold(raw);
  };
  const auto client = client_for(api.url());
  std::vector<std::unique_ptr<Memory>> memories;
  std::vector<std::unique_ptr<Reflector>> reflectors;
  for (int i = 0; i < 4; ++i) {
    memories.push_back(std::make_unique<Memory>());
    reflectors.push_back(std::make_unique<Reflector>(*client, quick(), *memories.back()));
    reflectors.back()->start();
  }
  for (int i = 0; i < 20; ++i) CHECK(client->get("/api/v1/nodes").has_value());
  for (const auto& memory : memories) {
    CHECK(eventually([&] { return memory->objects() == Objects{{"a", "199"}}; }));
  }
}

}  // namespace
}  // namespace optipod::kube
