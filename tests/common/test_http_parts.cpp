// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/http/accept.hpp"
#include "common/http/chunked.hpp"
#include "common/http/gzip.hpp"
#include "common/http/gzip_writer.hpp"
#include "common/http/head.hpp"
#include "common/http/message.hpp"
#include "common/http/percent.hpp"
#include "common/http/reply.hpp"
#include "common/http/request_reader.hpp"
#include "common/http/router.hpp"
#include "common/http/url.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http {
namespace {

using namespace std::string_literals;

bool good_request(const std::string& text) {
  Head head;
  return parse_request_head(text, head).has_value();
}

/// A request with these header lines besides Host.
bool good_lines(const std::string& lines) {
  return good_request("POST / HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n");
}

TEST_CASE("request heads") {
  Head head;
  REQUIRE(parse_request_head("POST /a?b HTTP/1.1\r\nHost: x\r\nX-A:  v w \r\nContent-Length: 12\r\n"
                             "\r\n",
                             head)
              .has_value());
  CHECK(head.method == "POST");
  CHECK(head.target == "/a?b");
  CHECK(head.field("x-a") == "v w");
  CHECK(head.field("nothing").empty());
  CHECK(head.content_length.value_or(0) == 12);
  CHECK(head.keep_alive);
  REQUIRE(parse_request_head("GET / HTTP/1.0\r\n\r\n", head).has_value());
  CHECK(head.version == 10);
  CHECK_FALSE(head.keep_alive);
  CHECK_FALSE(head.content_length.has_value());
  CHECK(head.fields.empty());
}

TEST_CASE("heads that two readers could understand differently are refused") {
  CHECK(good_lines(""));
  CHECK(good_lines("Transfer-Encoding: Chunked\r\n"));
  for (const char* lines : {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
                            "Content-Length: 1\r\nContent-Length: 1\r\n",
                            "Content-Length: 1\r\nContent-Length: 2\r\n",
                            "Content-Length: 1, 1\r\n",
                            "Content-Length: -1\r\n",
                            "Content-Length: +1\r\n",
                            "Content-Length: 0x1\r\n",
                            "Content-Length: 1 1\r\n",
                            "Content-Length:\r\n",
                            "Content-Length: 99999999999999999999999\r\n",
                            "Transfer-Encoding: gzip, chunked\r\n",
                            "Transfer-Encoding: chunked, identity\r\n",
                            "Transfer-Encoding: xchunked\r\n",
                            "Transfer-Encoding:\r\n",
                            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                            "Host: y\r\n",
                            "X : y\r\n",
                            " X: y\r\n",
                            "X: a\r\n b\r\n",
                            "X\r\n",
                            ": y\r\n",
                            "X: a\nY: b\r\n",
                            "X: a\rb\r\n",
                            "X\x80: a\r\n"}) {
    INFO(lines);
    CHECK_FALSE(good_lines(lines));
  }
  CHECK_FALSE(good_lines("X: a\0b\r\n"s));
  for (const char* text :
       {"\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: x\r\n\r\n", "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        "G\"T / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / http/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    INFO(text);
    CHECK_FALSE(good_request(text));
  }
}

TEST_CASE("response heads") {
  Head head;
  REQUIRE(parse_response_head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", head).has_value());
  CHECK(head.status == 200);
  CHECK(head.keep_alive);
  REQUIRE(parse_response_head("HTTP/1.1 503 \r\nConnection: close\r\n\r\n", head).has_value());
  CHECK(head.status == 503);
  CHECK_FALSE(head.keep_alive);
  for (const char* text : {"HTTP/1.1 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"}) {
    CHECK_FALSE(parse_response_head(text, head).has_value());
  }
}

TEST_CASE("the end of a head is found across pieces") {
  const std::string text = "GET / HTTP/1.1\r\n\r\nrest";
  CHECK(head_length(text) == 18);
  for (std::size_t from = 0; from < 18; ++from) CHECK(head_length(text, from) == 18);
  CHECK(head_length(text.substr(0, 17)) == std::string::npos);
}

struct Decoded {
  ChunkedDecoder::Result result = ChunkedDecoder::Result::kNeedMore;
  std::string body;
  std::size_t used = 0;
};

Decoded decode(const std::string& text, std::size_t piece, std::size_t max = 1000) {
  ChunkedDecoder decoder(max);
  Decoded out;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    std::size_t used = 0;
    out.result = decoder.feed(std::string_view(text).substr(at, piece), used,
                              [&](std::string_view s) { out.body.append(s); });
    out.used += used;
    if (out.result != ChunkedDecoder::Result::kNeedMore) break;
  }
  return out;
}

TEST_CASE("chunked bodies, whatever the pieces") {
  using Result = ChunkedDecoder::Result;
  const std::string good =
      "3\r\nabc\r\n000A;x=\"y\"\r\n0123456789\r\n1 \r\n!\r\n0\r\nA: b\r\nC: d\r\n\r\n";
  for (std::size_t piece = 1; piece <= good.size() + 4; ++piece) {
    const Decoded decoded = decode(good + "NEXT", piece);
    CHECK(decoded.result == Result::kDone);
    CHECK(decoded.body == "abc0123456789!");
    CHECK(decoded.used == good.size());
    for (const char* bad :
         {"-2\r\nab\r\n0\r\n\r\n", "+2\r\nab\r\n0\r\n\r\n", "0x2\r\nab\r\n", "\r\n\r\n", "g\r\n",
          "2\nab\r\n", "2\r\nabc\r\n", "2\r\nab0\r\n\r\n", "2\r\nab\n0\r\n\r\n", " 2\r\nab\r\n",
          "2\r\r\nab", "10000000000000000\r\n", "0\r\n\rX", "0\r\n\n", "0\r\nA: b\n\r\n",
          "2;a\nb\r\nab"}) {
      INFO(bad << " in pieces of " << piece);
      CHECK(decode(bad, piece).result == Result::kMalformed);
    }
    CHECK(decode("4\r\nabcd\r\n", piece, 3).result == Result::kTooLarge);
    CHECK(decode("fffffffffffffff\r\n", piece).result == Result::kTooLarge);
    CHECK(decode("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", piece, 3).result == Result::kTooLarge);
    CHECK(decode("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", piece, 3).result == Result::kDone);
  }
  CHECK(decode("1;" + std::string(100'000, 'x'), 1000).result == Result::kMalformed);
  CHECK(decode("0\r\n" + std::string(100'000, 'x'), 1000).result == Result::kMalformed);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 10'000; ++i) trailers += "A: b\r\n";
  CHECK(decode(trailers, 1000).result == Result::kMalformed);
}

/// What a reader makes of `bytes` that come in pieces of up to `piece`.
std::vector<std::string> read_all(std::string_view bytes, std::size_t piece) {
  using Step = RequestReader::Step;
  RequestReader reader(1024, 4096);
  std::vector<std::string> out;
  for (;;) {
    reader.begin();
    Step step = reader.has_input() ? reader.commit(0) : Step::kMore;
    while (step == Step::kMore || step == Step::kContinue) {
      if (step == Step::kContinue) out.emplace_back("continue");
      const auto room = reader.room();
      const std::size_t n = std::min({piece, room.size(), bytes.size()});
      if (n == 0) {
        if (room.empty()) out.emplace_back("no room");
        return out;
      }
      std::memcpy(room.data(), bytes.data(), n);
      bytes.remove_prefix(n);
      step = reader.commit(n);
    }
    if (step == Step::kFailed) {
      out.push_back(std::to_string(reader.status()));
      return out;
    }
    const Request& q = reader.request();
    out.push_back(std::string(q.method) + " " + std::string(q.path) + " " + std::string(q.query) +
                  " " + std::string(q.header("x")) + " " + std::string(q.body));
    reader.finish();
  }
}

TEST_CASE("requests are read alike, whatever the pieces") {
  const std::string text =
      "GET /a%20b?c=%20 HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n\r\n"
      "POST /sized HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\n\r\n" +
      std::string(3000, 's') +
      "POST http://h/chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n1;x\r\nd\r\n0\r\nT: t\r\n\r\n"
      "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::vector<std::string> good = {"GET /a b c=%20 1 ",
                                         "POST /sized   " + std::string(3000, 's'),
                                         "POST /chunked   abcd", "GET /   "};
  const std::vector<std::pair<std::string, std::string>> ends = {
      {"", ""},
      {"bad\r\n\r\n", "400"},
      {std::string(1025, 'h'), "431"},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4097\r\n\r\n", "413"},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n", "413"},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx", "400"}};
  for (const auto& [end, status] : ends) {
    std::vector<std::string> expected = good;
    if (!status.empty()) expected.push_back(status);
    for (const std::size_t piece : {1U, 2U, 3U, 7U, 100U, 1000U, 100'000U}) {
      INFO("piece " << piece << ", end " << status);
      CHECK(read_all(text + end, piece) == expected);
    }
  }
  const std::string asks =
      "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  CHECK(read_all(asks + "ab", 1) == std::vector<std::string>{"continue", "POST /   ab"});
  CHECK(read_all(asks + "ab", 1000) == std::vector<std::string>{"POST /   ab"});
}

TEST_CASE("a reply's bytes") {
  Response response;
  response.headers.emplace_back("X", "a\r\nb");
  response.body = "body";
  Reply reply;
  reply.render(response, {.version = 10, .keep_alive = true, .head_only = false});
  CHECK(reply.head().starts_with("HTTP/1.1 200 OK\r\nDate: "));
  CHECK(reply.head().find("\r\nContent-Length: 4\r\n") != std::string_view::npos);
  CHECK(reply.head().find("\r\nX: a  b\r\n") != std::string_view::npos);
  CHECK(reply.head().ends_with("\r\nConnection: keep-alive\r\n\r\n"));
  CHECK(reply.body() == "body");
  response.gzip = true;
  response.body.assign(10'000, 'z');
  reply.render(response, {.head_only = true, .accept_encoding = "gzip"});
  CHECK(reply.head().find("\r\nContent-Encoding: gzip\r\n") != std::string_view::npos);
  CHECK(reply.head().find("\r\nContent-Length: 10000\r\n") == std::string_view::npos);
  CHECK(reply.body().empty());
  response.gzipped = true;  // by the handler
  reply.render(response, {.accept_encoding = "gzip"});
  CHECK(reply.head().find("\r\nContent-Encoding: gzip\r\n") != std::string_view::npos);
  CHECK(reply.head().find("\r\nVary: Accept-Encoding\r\n") != std::string_view::npos);
  CHECK(reply.body() == response.body);
}

TEST_CASE("gzip: round trip, bombs, garbage") {
  std::mt19937 random(3);
  for (const std::size_t size : {0UL, 1UL, 1'000UL, 100'000UL, 3'000'000UL}) {
    for (const bool noise : {false, true}) {
      std::string text(size, 'x');
      if (noise) {
        for (char& c : text) c = static_cast<char>(random());
      }
      std::string packed;
      REQUIRE(gzip_compress(text, packed));
      const auto back = gzip_decompress(packed, size);
      REQUIRE(back.has_value());
      CHECK(*back == text);
      if (size > 0) {
        const auto bomb = gzip_decompress(packed, size - 1);
        REQUIRE_FALSE(bomb.has_value());
        CHECK(bomb.error().too_large);
        CHECK(bomb.error().what.find("more than") != std::string::npos);
      }
      CHECK_FALSE(gzip_decompress(packed.substr(0, packed.size() - 1), size).has_value());
      const auto twice = gzip_decompress(packed + packed, 2 * size);
      REQUIRE(twice.has_value());
      CHECK(*twice == text + text);
    }
  }
  CHECK_FALSE(gzip_decompress("", 10).has_value());
  CHECK_FALSE(gzip_decompress("not gzip", 10).has_value());
  CHECK_FALSE(gzip_decompress("not gzip", 10).error().too_large);
  std::string packed;
  REQUIRE(gzip_compress("text", packed));
  CHECK(gzip_decompress(packed, std::numeric_limits<std::size_t>::max()).has_value());
  CHECK_FALSE(gzip_decompress(packed + "garbage", 100).has_value());

  SECTION("the last of many members says little of the size of all") {
    const std::string large(300'000, 'x');
    std::string many;
    REQUIRE(gzip_compress(large, many));
    many.append(packed);
    const auto back = gzip_decompress(many, large.size() + 4);
    REQUIRE(back.has_value());
    CHECK(*back == large + "text");
    CHECK_FALSE(gzip_decompress(many, large.size() + 3).has_value());
  }
  SECTION("a size that is a lie") {
    for (const char lie : {'\0', '\x7f', '\xff'}) {
      std::string liar = packed;
      std::fill(liar.end() - 4, liar.end(), lie);
      CHECK_FALSE(gzip_decompress(liar, 1'000'000).has_value());
    }
  }
  SECTION("members without anything in them") {
    std::string nothing, many;
    REQUIRE(gzip_compress("", nothing));
    for (int i = 0; i < 10'000; ++i) many.append(nothing);
    const auto back = gzip_decompress(many + packed, 4);
    REQUIRE(back.has_value());
    CHECK(*back == "text");
    CHECK(gzip_decompress(many, 0).value().empty());
  }
}

TEST_CASE("gzip of pieces is one member, whatever their order") {
  std::mt19937 random(5);
  std::vector<std::string> texts;
  std::vector<GzipPiece> pieces;
  for (const std::size_t size : {0UL, 1UL, 60'000UL, 131'072UL, 131'073UL, 400'000UL}) {
    for (const unsigned letters : {1U, 20U, 256U}) {
      std::string& text = texts.emplace_back(size, 'x');
      for (char& c : text) c = static_cast<char>(random() % letters);
      REQUIRE(pieces.emplace_back().assign(text));
    }
  }
  for (int round = 0; round < 20; ++round) {
    std::string packed = "before", whole;
    GzipWriter writer(packed);
    for (int i = 0; i < 10; ++i) {
      const std::size_t which = random() % texts.size();
      whole.append(texts[which]);
      if (random() % 2 == 0) {
        REQUIRE(writer.add(texts[which]));
      } else {
        writer.add(pieces[which]);
      }
    }
    writer.finish();
    REQUIRE(packed.starts_with("before"));
    const auto back = gzip_decompress(std::string_view(packed).substr(6), whole.size());
    REQUIRE(back.has_value());
    CHECK(*back == whole);
  }
}

TEST_CASE("Accept-Encoding") {
  for (const char* yes : {"gzip", "GZIP", "deflate, gzip", "gzip;q=1", "gzip; q=0.001", "*",
                          "identity;q=0, *;q=0.1", "x-gzip", "br;q=1.0, gzip;q=0.8, *;q=0.1"}) {
    INFO(yes);
    CHECK(accepts_gzip(yes));
  }
  for (const char* no : {"", "gzip;q=0", "gzip;q=0.0", "gzip ; Q=0", "deflate", "notgzip", "gzip2",
                         "*;q=0", "gzip;q=0, *", "identity"}) {
    INFO(no);
    CHECK_FALSE(accepts_gzip(no));
  }
}

TEST_CASE("which exposition format a client likes best") {
  using text::Format;
  for (const char* open :
       {"application/openmetrics-text", "Application/OpenMetrics-Text;version=1.0.0",
        "application/openmetrics-text; version=\"1.0.0\" ; q=0.1",
        // Prometheus 2.42, then 3.
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
        "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/"
        "openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        "text/plain;q=0.5, application/openmetrics-text;q=0.501",
        "application/openmetrics-text, text/plain",
        "a/b;x=\"q=0, \\\";\", application/openmetrics-text",
        "application/openmetrics-text;q=0.2, application/json"}) {
    INFO(open);
    CHECK(accepted_format(open) == Format::kOpenMetrics);
  }
  const std::string protobuf =
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;";
  // Prometheus 2.42 with native histograms.
  CHECK(accepted_format(protobuf + "encoding=delimited,application/openmetrics-text;version=1.0.0;"
                                   "q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
                                   "text/plain;version=0.0.4;q=0.5,*/*;q=0.1") ==
        Format::kProtobuf);
  for (const char* other :
       {"encoding=text", "encoding=compact-text", "", "encoding=delimited;q=0"}) {
    CHECK(accepted_format(protobuf + other) == Format::kText);
  }
  for (const char* plain :
       {"", "*/*", "text/*", "application/vnd.google.protobuf", "text/plain",
        "text/html,application/xhtml+xml,*/*;q=0.8", "application/openmetrics-text;q=0",
        "application/openmetrics-text;version=0.0.1", "application/openmetrics-text;version=2.0.0",
        "application/openmetrics-text;q=0.4,*/*",
        "text/plain;version=0.0.4, application/openmetrics-text", "application/openmetrics-text2",
        "application/openmetrics-text;q=nan", "application/openmetrics-text;q=2",
        "application/openmetrics-text;q=-1", "\"application/openmetrics-text", ",,;;=,",
        "image/png", "application/openmetrics-text;q=0.5,text/*;q=0.6"}) {
    INFO(plain);
    CHECK(accepted_format(plain) == Format::kText);
  }
}

TEST_CASE("percent coding") {
  std::string out;
  CHECK(percent_decode("a%20b%2Fc+d", false, out));
  CHECK(out == "a b/c+d");
  out.clear();
  CHECK(percent_decode("a+b", true, out));
  CHECK(out == "a b");
  for (const char* bad : {"%", "%2", "%zz", "%00", "a%2", "%-1", "%+1"}) {
    std::string ignored;
    CHECK_FALSE(percent_decode(bad, true, ignored));
  }
  std::string all;
  for (int c = 1; c < 256; ++c) all.push_back(static_cast<char>(c));
  std::string back;
  CHECK(percent_decode(percent_encode(all), true, back));
  CHECK(back == all);
}

TEST_CASE("query parameters") {
  Request request;
  request.query = "a=1&b=2&a=3&empty=&flag&%61=4&match%5B%5D=%7Bx%3D%22y%22%7D&&=x";
  CHECK(request.params("a") == std::vector<std::string>{"1", "3", "4"});
  CHECK(request.param("b") == "2");
  CHECK(request.param("empty").empty());
  CHECK(request.params("flag") == std::vector<std::string>{""});
  CHECK(request.params("none").empty());
  CHECK(request.param("match[]") == "{x=\"y\"}");
  CHECK(request.decodes());
  for (const char* bad : {"a=%", "a=%4&1=2", "%zz=1", "a=1&b=%00", "a=%g1"}) {
    INFO(bad);
    request.query = bad;
    CHECK_FALSE(request.decodes());
    CHECK(request.param("a") != "2");
  }
}

TEST_CASE("URLs") {
  const auto url = parse_url("http://host.example:8080/a/b?c=d");
  REQUIRE(url.has_value());
  CHECK(url->host == "host.example");
  CHECK(url->port == 8080);
  CHECK(url->target == "/a/b?c=d");
  CHECK(url->authority == "host.example:8080");
  CHECK(parse_url("http://h")->target == "/");
  CHECK(parse_url("http://h")->port == 80);
  CHECK(parse_url("http://h?x=1")->target == "/?x=1");
  CHECK(parse_url("http://[::1]:9/")->host == "::1");
  CHECK(parse_url("http://[::1]:9/")->authority == "[::1]:9");
  for (const char* bad : {"", "h", "https://h/", "ftp://h/", "http://", "http:///x", "http://h:/",
                          "http://h:0/", "http://h:x/", "http://h:65536/", "http://h:80:80/",
                          "http://u@h/", "http://h/a b", "http://h/\r\nX: y", "http://h/#f",
                          "http://[::1/", "http://[]/", "http://[h]/", "http://[::1]x/"}) {
    INFO(bad);
    CHECK_FALSE(parse_url(bad).has_value());
  }
}

TEST_CASE("the best pattern decides, then the method") {
  Router router;
  const Handler none = [](const Request&, Response&) {};
  router.add("GET", "/*", none);
  router.add("GET", "/a/*", none);
  router.add("POST", "/a/b", none);
  router.add("PUT", "/a/b", none);
  CHECK(router.find("GET", "/x").route->path == "/*");
  CHECK(router.find("GET", "/a/x").route->path == "/a/*");
  CHECK(router.find("POST", "/a/b").route->path == "/a/b");
  CHECK(router.find("HEAD", "/a/x").route->method == "GET");
  const auto wrong = router.find("GET", "/a/b");
  CHECK(wrong.route == nullptr);
  CHECK((wrong.allow == "POST, PUT" || wrong.allow == "PUT, POST"));
  CHECK(Router().find("GET", "/").allow.empty());
}

}  // namespace
}  // namespace optipod::http
