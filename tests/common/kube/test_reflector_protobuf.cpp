// SPDX-License-Identifier: Apache-2.0
//
// Lists and watches of protobuf, asked for beside JSON: what comes is what is read.
#include "tests/common/kube/protobuf_text.hpp"
#include "tests/common/kube/support.hpp"

namespace optipod::kube {
namespace {

namespace pb = test::protobuf;
using test::Api;
using test::chunk;
using test::client_for;
using test::contains;
using test::eventually;
using test::Memory;
using test::Objects;
using test::Raw;
using State = ReflectorStatus::State;

ReflectorOptions asking() {
  ReflectorOptions options = test::quick();
  options.protobuf = true;
  options.max_event_bytes = 64 * 1024;
  return options;
}

struct Running {
  explicit Running(const Api& api, const ReflectorOptions& options = asking())
      : client(client_for(api.url())), reflector(*client, options, memory) {
    reflector.start();
  }
  [[nodiscard]] bool becomes(const Objects& objects) const {
    return eventually([&] { return memory.objects() == objects; });
  }
  Memory memory;
  std::unique_ptr<Client> client;
  Reflector reflector;
};

void list_one(Raw& raw, const std::string&) {
  raw.send(pb::sized(pb::list({pb::pod("a", "1")}, "10")));
}

TEST_CASE("protobuf: a list in pages, then added, modified, deleted and a bookmark") {
  Api api;
  api.on_list = [](Raw& raw, const std::string& line) {
    raw.send(pb::sized(contains(line, "continue=t2")
                           ? pb::list({pb::pod("c", "3")}, "10")
                           : pb::list({pb::pod("a", "1"), pb::pod("b", "2")}, "10", "t2")));
  };
  api.on_watch = [&](Raw& raw, const std::string& line) {
    raw.send(pb::kWatchHead);
    if (!contains(line, "resourceVersion=10 ")) return api.hold(raw);
    raw.send(
        chunk(pb::event("ADDED", pb::pod("d", "11")) + pb::event("MODIFIED", pb::pod("a", "12"))));
    for (const char c : pb::event("DELETED", pb::pod("b", "13"))) {
      raw.send(chunk(std::string(1, c)));
    }
    raw.send(chunk(pb::event("BOOKMARK", pb::pod("", "20"))) + test::kLastChunk);
  };
  Running run(api);
  REQUIRE(run.becomes({{"a", "12"}, {"c", "3"}, {"d", "11"}}));
  REQUIRE(eventually([&] { return run.reflector.status().watches == 2; }));
  const ReflectorStatus status = run.reflector.status();
  CHECK(status.encoding == Encoding::kProtobuf);
  CHECK(status.events == 3);
  CHECK(status.bookmarks == 1);
  CHECK(status.failures == 0);
  CHECK(contains(api.last("watch=true"), "resourceVersion=20 "));
  for (const std::string& head : api.heads()) {
    CHECK(contains(head, "Accept: application/vnd.kubernetes.protobuf, application/json\r\n"));
  }
}

TEST_CASE("protobuf: a server that answers JSON is read as JSON, each reply by itself") {
  for (const bool list_is_json : {true, false}) {
    INFO(list_is_json);
    Api api;
    api.on_list = [&](Raw& raw, const std::string& line) {
      list_is_json ? (void)raw.send(test::sized(test::list({test::pod("a", "1")}, "10")))
                   : list_one(raw, line);
    };
    api.on_watch = [&](Raw& raw, const std::string&) {
      raw.send(list_is_json ? pb::kWatchHead + chunk(pb::event("ADDED", pb::pod("b", "11")))
                            : test::kWatchHead + chunk(test::event("ADDED", test::pod("b", "11"))));
      api.hold(raw);
    };
    Running run(api);
    REQUIRE(run.becomes({{"a", "1"}, {"b", "11"}}));
    CHECK(run.reflector.status().failures == 0);
    CHECK(run.reflector.status().encoding ==
          (list_is_json ? Encoding::kProtobuf : Encoding::kJson));
  }
}

TEST_CASE("protobuf: 410 lists again, said as a status or as an event; other errors are told") {
  for (const bool by_status : {true, false}) {
    INFO(by_status);
    Api api;
    api.on_list = [&](Raw& raw, const std::string&) {
      raw.send(pb::sized(api.lists == 1 ? pb::list({pb::pod("a", "1")}, "10")
                                        : pb::list({pb::pod("b", "3")}, "50")));
    };
    api.on_watch = [&](Raw& raw, const std::string& line) {
      if (by_status && contains(line, "resourceVersion=10 ")) {
        raw.send(pb::sized(pb::status(410, "Expired", "too old"), "410 Gone"));
        return;
      }
      raw.send(pb::kWatchHead);
      if (contains(line, "resourceVersion=10 ")) {
        raw.send(chunk(pb::error(410, "Expired", "too old")));
      }
      api.hold(raw);
    };
    Running run(api);
    REQUIRE(run.becomes({{"b", "3"}}));
    REQUIRE(eventually([&] { return run.reflector.status().lists == 2; }));
    CHECK(run.reflector.status().failures == 0);
  }
  Api api;
  std::atomic<bool> forbidden{true};
  api.on_list = [&](Raw& raw, const std::string& line) {
    forbidden ? (void)raw.send(pb::sized(pb::status(403, "Forbidden", "not you"), "403 Forbidden"))
              : list_one(raw, line);
  };
  Running run(api);
  REQUIRE(eventually([&] { return run.reflector.status().failures >= 1; }));
  CHECK(run.reflector.status().last_error == "list: 403: not you");
  forbidden = false;
  REQUIRE(run.becomes({{"a", "1"}}));
}

/// A watch that sends `bytes` until told otherwise costs failures with `message`, and is overcome.
void bad_watch(const std::string& message, const std::string& bytes) {
  Api api;
  std::atomic<bool> bad{true};
  api.on_list = [&](Raw& raw, const std::string&) {
    raw.send(pb::sized(pb::list({pb::pod(bad ? "bad" : "good", "1")}, "10")));
  };
  api.on_watch = [&](Raw& raw, const std::string&) {
    raw.send(pb::kWatchHead + chunk(bad ? bytes
                                        : pb::event("DELETED", pb::pod("bad", "2")) +
                                              pb::event("ADDED", pb::pod("good", "3"))));
    api.hold(raw);
  };
  Running run(api);
  std::string error;
  CHECK(eventually([&] {
    error = run.reflector.status().last_error;
    return contains(error, message) && run.reflector.status().failures >= 3;
  }));
  INFO(error);
  CHECK(contains(error, message));
  bad = false;
  CHECK(run.becomes({{"good", "3"}}));
  CHECK(eventually([&] { return run.reflector.status().state == State::kSynced; }));
}

TEST_CASE("protobuf: watches of garbage") {
  bad_watch("watch: malformed event of protobuf", pb::frame("garbage"));
  bad_watch("watch: malformed event of protobuf", pb::frame(""));
  bad_watch("type \"PARTY\" is not known", pb::event("PARTY", pb::pod("x", "1")));
  bad_watch("its resourceVersion is too long",
            pb::event("ADDED", pb::pod("x", std::string(1000, '9'))));
  bad_watch("watch: an event of more than 65536 bytes", "\xff\xff\xff\xff");
  // JSON under protobuf's name: its first four bytes are a length.
  bad_watch("watch: an event of more than 65536 bytes", test::event("ADDED", test::pod("x", "1")));
  bad_watch("watch: 500: oh", pb::error(500, "", "oh"));
}

TEST_CASE("protobuf that nobody asked for is refused") {
  ReflectorOptions options = asking();
  options.protobuf = false;
  for (const bool in_list : {true, false}) {
    INFO(in_list);
    Api api;
    api.on_list = [&](Raw& raw, const std::string& line) {
      in_list ? list_one(raw, line)
              : (void)raw.send(test::sized(test::list({test::pod("a", "1")}, "10")));
    };
    api.on_watch = [&](Raw& raw, const std::string&) {
      raw.send(pb::kWatchHead + chunk(pb::event("ADDED", pb::pod("b", "11"))));
      api.hold(raw);
    };
    Running run(api, options);
    REQUIRE(eventually([&] { return run.reflector.status().failures >= 2; }));
    CHECK(run.reflector.status().last_error ==
          (in_list ? "list: came as protobuf, which was not asked for"
                   : "watch: came as protobuf, which was not asked for"));
    CHECK(run.memory.objects() == (in_list ? Objects{} : Objects{{"a", "1"}}));
    CHECK(contains(api.heads()[0], "Accept: application/json\r\n"));
  }
}

}  // namespace
}  // namespace optipod::kube
