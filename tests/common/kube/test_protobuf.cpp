// SPDX-License-Identifier: Apache-2.0
#include "common/kube/protobuf.hpp"
#include "common/kube/splitters.hpp"
#include "tests/common/kube/protobuf_text.hpp"
#include "tests/common/kube/support.hpp"

namespace optipod::kube {
namespace {

namespace pb = test::protobuf;
using test::contains;

bool inside(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

TEST_CASE("a page of protobuf is split into its objects") {
  const std::string a = pb::pod("a", "1");
  const std::string page = pb::list({a, "", pb::pod("b", "2")}, "7", "next");
  std::vector<std::string> objects;
  const auto read = read_protobuf_page(page, [&](std::string_view object) {
    CHECK(inside(object, page));
    objects.emplace_back(object);
    return true;
  });
  REQUIRE(read.has_value());
  CHECK(read->resource_version == "7");
  CHECK(read->continue_token == "next");
  CHECK(read->objects == 3);
  CHECK(objects == std::vector<std::string>{a, "", pb::pod("b", "2")});
  const auto none = read_protobuf_page(pb::list({}, "1"), [](std::string_view) { return true; });
  REQUIRE(none.has_value());
  CHECK(none->objects == 0);
  CHECK(none->continue_token.empty());
}

TEST_CASE("what is no page of protobuf is refused with the reason") {
  const auto all = [](std::string_view) { return true; };
  const std::string magic("k8s\0", 4);
  const std::string endless = magic + "\x0a\xff\xff\xff\xff\x0f";  // a length of 4 GiB
  const std::pair<std::string, const char*> cases[] = {
      {"", "does not begin with k8s"},
      {"{\"items\":[]}", "does not begin with k8s"},
      {magic, "another kind"},
      {pb::status(500, "", ""), "another kind"},
      {pb::list({}, ""), "no metadata.resourceVersion"},
      {endless, "end of buffer"},
      {magic + std::string(12, '\xff'), "varint too long"},
      {magic + '\x0b', "unknown pbf field type"},  // a group, which nobody writes any more
      {magic + '\x0f', "unknown pbf field type"},
      {magic + std::string(2, '\0'), "invalid tag"},
      {magic + pb::field(1, std::uint64_t{7}), "another type"},
      {pb::envelope("PodList", pb::field(1, pb::field(2, "7")) + pb::field(2, std::uint64_t{1})),
       "another type"},
      {pb::list({}, "7") + pb::field(3, "gzip"), "encoded once more"},
      {pb::list({}, "7") + pb::field(4, "application/json"), "not protobuf"},
  };
  for (const auto& [bytes, message] : cases) {
    const auto read = read_protobuf_page(bytes, all);
    INFO(message);
    REQUIRE_FALSE(read.has_value());
    INFO(read.error());
    CHECK(contains(read.error(), "malformed list of protobuf: "));
    CHECK(contains(read.error(), message));
  }
  // Cut anywhere: refused, but for where only the envelope's last fields, which are empty, are
  // lost.
  const std::string page = pb::list({pb::pod("a", "1"), pb::pod("b", "2")}, "7", "next");
  const std::size_t needed = page.size() - pb::field(3, "").size() - pb::field(4, "").size();
  for (std::size_t size = 0; size < needed; ++size) {
    CHECK_FALSE(read_protobuf_page(page.substr(0, size), all).has_value());
  }
  int given = 0;
  CHECK_FALSE(read_protobuf_page(page, [&](std::string_view) { return ++given < 1; }).has_value());
  CHECK(given == 1);
}

TEST_CASE("events of protobuf: type, object and version; others are refused") {
  using Type = WatchEvent::Type;
  const std::string a = pb::pod("a", "12");
  const std::string sealed = pb::envelope("Pod", a);
  const std::pair<std::string, Type> good[] = {{"ADDED", Type::kAdded},
                                               {"MODIFIED", Type::kModified},
                                               {"DELETED", Type::kDeleted},
                                               {"BOOKMARK", Type::kBookmark}};
  for (const auto& [name, type] : good) {
    const std::string bytes = pb::bare_event(name, sealed);
    const auto event = read_protobuf_event(bytes);
    REQUIRE(event.has_value());
    CHECK(event->type == type);
    CHECK(event->object == a);
    CHECK(inside(event->object, bytes));
    CHECK(event->resource_version == "12");
  }
  const std::string gone = pb::bare_event("ERROR", pb::status(410, "Expired", "too old"));
  const auto error = read_protobuf_event(gone);
  REQUIRE(error.has_value());
  CHECK(error->type == Type::kError);
  ApiStatus status;
  REQUIRE(parse_status(error->object, status));
  CHECK(status.code == 410);

  const std::pair<std::string, const char*> bad[] = {
      {"", "type \"\" is not known"},
      {"garbage", "malformed event"},
      {pb::field(1, "ADDED"), "no object"},
      {pb::bare_event("ADDED", ""), "no object"},
      {pb::bare_event("PARTY", sealed), "type \"PARTY\" is not known"},
      {pb::bare_event("ADDED", "{}"), "does not begin with k8s"},
      {pb::bare_event("ADDED", pb::envelope("Pod", pb::pod("a", ""))), "no metadata.resource"},
      {pb::bare_event("ADDED", pb::envelope("Pod", pb::field(1, std::uint64_t{1}))),
       "another type"},
  };
  for (const auto& [bytes, message] : bad) {
    INFO(message);
    const auto event = read_protobuf_event(bytes);
    REQUIRE_FALSE(event.has_value());
    INFO(event.error());
    CHECK(contains(event.error(), message));
  }
}

TEST_CASE("a Status is read in either encoding") {
  CHECK(status_message(403, pb::status(403, "Forbidden", "pods is forbidden")) ==
        "403: pods is forbidden");
  ApiStatus status;
  CHECK(parse_status(pb::status(410, "Expired", "too old"), status));
  CHECK(status.code == 410);
  CHECK(status.reason == "Expired");
  CHECK(status.message == "too old");
  CHECK(parse_status(pb::envelope("Status", pb::field(6, ~std::uint64_t{0})), status));
  CHECK(status.code == 0);
  CHECK_FALSE(parse_status(pb::envelope("Pod", pb::field(3, "x")), status));
  const std::string whole = pb::status(500, "x", "y");
  CHECK_FALSE(parse_status(whole.substr(0, whole.size() / 2), status));
  CHECK(status_message(500, std::string("k8s\0\x01", 5)).starts_with("500: k8s"));
}

TEST_CASE("frames come out whole, however the bytes come in") {
  const std::string bytes =
      pb::frame("one") + pb::frame("") + pb::frame("three") + pb::frame("rest").substr(0, 6);
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    FrameSplitter splitter(5);
    std::vector<std::string> frames;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      CHECK(splitter.feed(bytes.substr(at, step), [&](std::string_view frame) {
        frames.emplace_back(frame);
        return true;
      }) == Split::kMore);
    }
    CHECK(frames == std::vector<std::string>{"one", "", "three"});
  }
  const auto all = [](std::string_view) { return true; };
  FrameSplitter splitter(4);
  CHECK(splitter.feed(pb::frame("1234"), all) == Split::kMore);
  CHECK(splitter.feed(pb::frame("12345").substr(0, 4), all) == Split::kTooLong);
  FrameSplitter huge(1 << 20);
  CHECK(huge.feed("\xff\xff\xff\xff", all) == Split::kTooLong);
  FrameSplitter stopped(4);
  CHECK(stopped.feed(pb::frame("1") + pb::frame("2"), [](std::string_view) { return false; }) ==
        Split::kStopped);
}

TEST_CASE("which encoding a Content-Type is") {
  CHECK(encoding_of("application/vnd.kubernetes.protobuf") == Encoding::kProtobuf);
  CHECK(encoding_of("Application/vnd.kubernetes.Protobuf ; stream=watch") == Encoding::kProtobuf);
  CHECK(encoding_of("application/json") == Encoding::kJson);
  CHECK(encoding_of("application/json;stream=watch") == Encoding::kJson);
  CHECK(encoding_of("") == Encoding::kJson);
}

}  // namespace
}  // namespace optipod::kube
