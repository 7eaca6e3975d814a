// SPDX-License-Identifier: Apache-2.0
#include "common/kube/json.hpp"
#include "common/kube/splitters.hpp"
#include "tests/common/kube/support.hpp"

namespace optipod::kube {
namespace {

using test::contains;

/// Text with padding of bytes that would matter if they were read as text.
struct Padded {
  explicit Padded(const std::string& text) : bytes(text + std::string(http::kBodyPadding, '}')) {
    view = std::string_view(bytes).substr(0, text.size());
  }
  std::string bytes;
  std::string_view view;
};

TEST_CASE("a page is split into its objects, whatever the order of its members") {
  JsonReader reader;
  const std::string a = test::pod("a", "1");
  for (const std::string& text :
       {test::list({a, "{ }", "{\"b\":[[]]}"}, "7", "next"),
        R"({"items": [ )" + a + " , { } ,\n{\"b\":[[]]}\t] ,\"x\":{\"items\":[1]}, \"metadata\":" +
            R"({"selfLink":null,"continue":"next","resourceVersion":"\u0037"}})"}) {
    const Padded page(text);
    std::vector<std::string> objects;
    const auto read = reader.read_page(page.view, [&](std::string_view json) {
      objects.emplace_back(json);
      return true;
    });
    INFO(text);
    REQUIRE(read.has_value());
    CHECK(read->resource_version == "7");
    CHECK(read->continue_token == "next");
    CHECK(read->objects == 3);
    REQUIRE(objects.size() == 3);
    CHECK(objects[0] == a);
    CHECK(objects[1] == "{ }");
    CHECK(objects[2] == "{\"b\":[[]]}");
  }
  const Padded none(R"({"metadata":{"resourceVersion":"1"},"items":null})");
  const auto read = reader.read_page(none.view, [](std::string_view) { return true; });
  REQUIRE(read.has_value());
  CHECK(read->objects == 0);
  CHECK(read->continue_token.empty());
}

TEST_CASE("what is no page is refused with the reason") {
  JsonReader reader;
  const std::pair<const char*, const char*> cases[] = {
      {"", "malformed list"},
      {"[]", "malformed list"},
      {"{", "malformed list"},
      {"<html>", "malformed list"},
      {R"({"metadata":{"resourceVersion":"1"}})", "no items"},
      {R"({"items":[]})", "no metadata.resourceVersion"},
      {R"({"metadata":{"resourceVersion":1},"items":[]})", "malformed list"},
      {R"({"metadata":{"resourceVersion":"1"},"items":[1]})", "malformed list"},
      {R"({"metadata":{"resourceVersion":"1"},"items":{}})", "malformed list"},
      {R"({"metadata":{"resourceVersion":"1"},"items":[{"a":1})", "malformed list"},
      {R"({"metadata":{"resourceVersion":"1"},"items":[{"a":"1]}})", "malformed list"},
      {R"({"metadata":{"resourceVersion":"1"},"items":[]}{})", "malformed list"},
      {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\007{\"a\":[1]}},{}]}",
       "malformed list"},
      {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"a\":\"\xFF\"}]}", "malformed list"},
  };
  for (const auto& [text, message] : cases) {
    const Padded page{std::string(text)};
    const auto read = reader.read_page(page.view, [](std::string_view) { return true; });
    INFO(text);
    REQUIRE_FALSE(read.has_value());
    CHECK(contains(read.error(), message));
  }
  const Padded page(test::list({"{}", "{}", "{}"}, "1"));
  int given = 0;
  const auto read = reader.read_page(page.view, [&](std::string_view) { return ++given < 2; });
  CHECK_FALSE(read.has_value());
  CHECK(given == 2);
}

TEST_CASE("events: type, object and version in any order; others are refused") {
  JsonReader reader;
  using Type = WatchEvent::Type;
  const std::string a = test::pod("a", "12");
  const std::tuple<std::string, Type, std::string, std::string> good[] = {
      {R"({"type":"ADDED","object":)" + a + "}", Type::kAdded, a, "12"},
      {R"({ "object" : )" + a + R"( , "type" : "MODIFIED" } )", Type::kModified, a, "12"},
      {R"({"type":"DELETED","object":)" + a + "}", Type::kDeleted, a, "12"},
      {R"({"type":"ERROR","object":{}})", Type::kError, "{}", ""},
      {R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}})", Type::kBookmark,
       R"({"metadata":{"resourceVersion":"9"}})", "9"},
  };
  for (const auto& [text, type, object, version] : good) {
    INFO(text);
    const Padded line(text);
    const auto event = reader.read_event(line.view);
    REQUIRE(event.has_value());
    CHECK(event->type == type);
    CHECK(event->object == object);
    CHECK(event->resource_version == version);
  }
  const std::pair<std::string, const char*> bad[] = {
      {"garbage", "malformed event"},
      {R"({"type":"ADDED"})", "no object"},
      {R"({"object":)" + a + "}", "type \"\" is not known"},
      {R"({"type":"GONE","object":)" + a + "}", "type \"GONE\" is not known"},
      {R"({"type":"ADDED","object":{}})", "no metadata.resourceVersion"},
      {R"({"type":"ADDED","object":[]})", "malformed event"},
      {R"({"type":"ADDED","object":{"metadata":7}})", "malformed event"},
      {R"({"type":"ADDED","object":)" + a, "malformed event"},
      {R"({"type":"ADDED","object":)" + a + "}{}", "malformed event"},
  };
  for (const auto& [text, message] : bad) {
    INFO(text);
    const Padded line(text);
    const auto event = reader.read_event(line.view);
    REQUIRE_FALSE(event.has_value());
    CHECK(contains(event.error(), message));
  }
}

TEST_CASE("lines come out whole, however the bytes come in") {
  const std::string bytes = "one\n\ntwo\nthree\nrest";
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    LineSplitter splitter(5);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      CHECK(splitter.feed(bytes.substr(at, step), [&](std::string_view line) {
        lines.emplace_back(line);
        return true;
      }) == Split::kMore);
    }
    CHECK(lines == std::vector<std::string>{"one", "two", "three"});
  }
  LineSplitter splitter(4);
  const auto all = [](std::string_view) { return true; };
  CHECK(splitter.feed("1234\n123", all) == Split::kMore);
  CHECK(splitter.feed("45", all) == Split::kTooLong);
  LineSplitter stopped(4);
  CHECK(stopped.feed("1\n2\n", [](std::string_view) { return false; }) == Split::kStopped);
}

TEST_CASE("a Status is read for its message; other bodies are shown, in one short line") {
  CHECK(status_message(403, test::api_status(403, "Forbidden", "pods is forbidden")) ==
        "403: pods is forbidden");
  CHECK(status_message(502, "<html>\nbad gateway") == "502: <html> bad gateway");
  CHECK(status_message(500, "") == "status 500");
  CHECK(status_message(500, R"({"kind":"Status"})") == R"(500: {"kind":"Status"})");
  CHECK(status_message(500, std::string(100'000, 'x')).size() < 600);
  ApiStatus status;
  CHECK(parse_status(test::api_status(410, "Expired", "too old"), status));
  CHECK(status.code == 410);
  CHECK(status.reason == "Expired");
  CHECK_FALSE(parse_status(R"({"kind":"Pod"})", status));
  CHECK_FALSE(parse_status("", status));
}

}  // namespace
}  // namespace optipod::kube
