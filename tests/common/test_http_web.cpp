// SPDX-License-Identifier: Apache-2.0
//
// A server with TLS and passwords: the same server as without, files that change, hostile clients.
#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/http/origin_client.hpp"
#include "tests/common/certificates.hpp"
#include "tests/common/overload_fixture.hpp"

namespace optipod::http {
namespace {

using std::chrono::milliseconds;
using test::await;
using test::certificates;
using test::Folder;
using test::Raw;

const std::string kAlice =
    "basic_auth_users:\n  alice: $2b$04$aaaaaaaaaaaaaaaaaaaaaOGY9KrC7e/pHj3EXQPxs8hKEBbvQhsvG\n";
constexpr const char* kAliceSays = "Basic YWxpY2U6c2VjcmV0";

/// A fixture with a web.config.yml of its own, and certificates beside it.
struct Fixture : test::OverloadFixture {
  explicit Fixture(const std::string& text, ServerLimits limits = {}, unsigned threads = 1)
      : OverloadFixture(limits, threads) {
    for (const char* name : {"server.crt", "server.key", "named.crt", "named.key", "ca.crt"}) {
      folder.write(name, certificates().pem(name));
    }
    server.route("POST", "/echo", [](const Request& q, Response& r) { r.body = q.body; });
    server.route("GET", "/large",
                 [](const Request&, Response& r) { r.body = std::string(8'000'000, 'x'); });
    const auto listening = server.listen("127.0.0.1:0", folder.write("web.yml", text));
    if (!listening) FAIL(listening.error());
  }
  [[nodiscard]] std::unique_ptr<OriginClient> client(const std::string& certificate = {}) const {
    TlsOptions tls{.ca_pem = certificates().pem("ca.crt")};
    if (!certificate.empty()) {
      tls.certificate_pem = certificates().pem(certificate + ".crt");
      tls.key_pem = certificates().pem(certificate + ".key");
    }
    auto made = OriginClient::make("https://127.0.0.1:" + std::to_string(server.port()), tls);
    if (!made) FAIL(made.error());
    return std::move(*made);
  }
  Folder folder;
};

const std::string kTls = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

unsigned status(const OriginClient& client, const std::string& authorization = {}) {
  OriginRequest request{.target = "/hello"};
  if (!authorization.empty()) request.headers = {{"Authorization", authorization}};
  const auto reply = client.send(request);
  return reply ? reply->status : 0;
}

std::string basic(const std::string& credentials_base64) {
  return "Basic " + credentials_base64;
}

TEST_CASE("over TLS everything is as without") {
  const Fixture f(kTls + "http_server_config:\n  headers:\n    X-Frame-Options: deny\n", {}, 2);
  const auto client = f.client();
  for (int i = 0; i < 20; ++i) CHECK(status(*client) == 200);
  const auto large = client->send({.target = "/large"});
  REQUIRE(large);
  CHECK(large->body == std::string(8'000'000, 'x'));
  const std::string body(500'000, 'b');
  const auto echo = client->send({.method = "POST", .target = "/echo", .body = body});
  REQUIRE(echo);
  CHECK(echo->body == body);
  const auto expected = client->send({.method = "POST",
                                      .target = "/echo",
                                      .headers = {{"Expect", "100-continue"}},
                                      .body = "later"});
  REQUIRE(expected);
  CHECK(expected->body == "later");
  CHECK(client->send({.target = "/none"})->status == 404);
  const auto too_large =
      client->send({.method = "POST", .target = "/echo", .body = std::string(2'000'000, 'b')});
  CHECK((!too_large || too_large->status == 413));
  const auto ended = client->send({.target = "/hello", .headers = {{"Connection", "close"}}});
  REQUIRE(ended);
  CHECK(ended->body == "hello");
  CHECK(status(*client) == 200);
}

TEST_CASE("clients are let in by their certificates") {
  const std::string verify =
      kTls + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
  SECTION("issued by the authority") {
    const Fixture f(verify);
    CHECK(status(*f.client("client")) == 200);
    CHECK(status(*f.client("stranger")) == 0);
    CHECK(status(*f.client()) == 0);
  }
  SECTION("with one of the names") {
    const Fixture f(verify + "  client_allowed_sans: [other.example, 10.1.2.3]\n");
    CHECK(status(*f.client("scraper")) == 200);
    CHECK(status(*f.client("client")) == 0);
    const Fixture g(verify + "  client_allowed_sans: [scraper.example.org]\n");
    CHECK(status(*g.client("scraper")) == 0);
  }
  SECTION("any, or none") {
    const Fixture any(kTls + "  client_auth_type: RequireAnyClientCert\n");
    CHECK(status(*any.client("stranger")) == 200);
    CHECK(status(*any.client()) == 0);
    const Fixture given(kTls +
                        "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt\n");
    CHECK(status(*given.client()) == 200);
    CHECK(status(*given.client("client")) == 200);
    CHECK(status(*given.client("stranger")) == 0);
  }
}

TEST_CASE("users are let in by their passwords") {
  const Fixture f(kTls + kAlice);
  const auto client = f.client();
  CHECK(status(*client) == 401);
  CHECK(status(*client, basic("YWxpY2U6U2VjcmV0")) == 401);  // alice:Secret
  CHECK(status(*client, basic("Ym9iOnNlY3JldA==")) == 401);  // bob:secret
  CHECK(status(*client, "Bearer abc") == 401);
  for (int i = 0; i < 5; ++i) CHECK(status(*client, kAliceSays) == 200);
  CHECK(status(*client) == 401);  // the connection alone opens nothing

  const Fixture plain(kAlice);
  Raw raw = Raw::connect(plain.server.port());
  raw.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string refused = raw.reply();
  CHECK(test::status_of(refused) == 401);
  CHECK(refused.find("WWW-Authenticate: Basic\r\n") != std::string::npos);
  raw.send("GET /hello HTTP/1.1\r\nHost: x\r\nAuthorization: " + std::string(kAliceSays) +
           "\r\n\r\n");
  CHECK(test::body_of(raw.reply()) == "hello");
}

TEST_CASE("strangers who guess keep nobody out who is known") {
  Fixture f(
      "basic_auth_users:\n"
      "  alice: $2b$04$aaaaaaaaaaaaaaaaaaaaaOGY9KrC7e/pHj3EXQPxs8hKEBbvQhsvG\n"
      "  bob: $2b$13$aaaaaaaaaaaaaaaaaaaaaOGY9KrC7e/pHj3EXQPxs8hKEBbvQhsvG\n");
  const auto ask = [&](const Raw& raw, const std::string& authorization) {
    raw.send("GET /hello HTTP/1.1\r\nHost: x\r\nAuthorization: " + authorization + "\r\n\r\n");
  };
  Raw alice = Raw::connect(f.server.port());
  ask(alice, kAliceSays);
  CHECK(test::body_of(alice.reply()) == "hello");
  // Guesses at bob's slow hash, until as many wait as may: the next are turned away at once.
  std::vector<Raw> guesses;
  bool turned_away = false;
  for (int i = 0; i < 400 && !turned_away; ++i) {
    guesses.push_back(Raw::connect(f.server.port()));
    std::string text = "Ym9iOmFhYWFh";  // bob:aaaaa, and others
    text[9] = static_cast<char>('a' + i % 26);
    text[10] = static_cast<char>('a' + i / 26);
    ask(guesses.back(), basic(text));
    turned_away = test::status_of(guesses.back().receive(milliseconds(5))) == 503;
  }
  CHECK(turned_away);
  for (int i = 0; i < 20; ++i) {
    ask(alice, kAliceSays);
    CHECK(test::body_of(alice.reply()) == "hello");
  }
  guesses.clear();  // who has gone costs no check
}

TEST_CASE("the file and what it names are read again when they change") {
  const Fixture f(kTls + kAlice);
  const auto known = f.client();
  CHECK(status(*known, kAliceSays) == 200);

  SECTION("a user goes: at the next request, on the same connection too") {
    f.folder.write("web.yml",
                   kTls + "basic_auth_users:\n  carol: " + kAlice.substr(kAlice.find('$')));
    CHECK(status(*known, kAliceSays) == 401);
    CHECK(status(*known, basic("Y2Fyb2w6c2VjcmV0")) == 200);  // carol:secret
  }
  SECTION("another certificate: from the next connection on") {
    // For a name that 127.0.0.1 is not.
    f.folder.write("server.key", certificates().pem("named.key"));
    CHECK(status(*known, kAliceSays) == 200);  // half of the change cannot be used
    CHECK(status(*f.client(), kAliceSays) == 200);
    f.folder.write("server.crt", certificates().pem("named.crt"));
    CHECK(status(*f.client(), kAliceSays) == 0);
    f.folder.write("server.crt", certificates().pem("server.crt"));
    f.folder.write("server.key", certificates().pem("server.key"));
    CHECK(status(*f.client(), kAliceSays) == 200);
  }
  SECTION("a mistake: what was before stays, until it is mended") {
    const std::string twice = kTls + "  key: x\n" + kAlice;
    for (const std::string& bad : {std::string("tls_server_config: ["), kAlice, twice}) {
      f.folder.write("web.yml", bad);
      CHECK(status(*f.client(), kAliceSays) == 200);
      CHECK(status(*f.client()) == 401);
    }
    std::filesystem::remove(f.folder.path("web.yml"));
    CHECK(status(*f.client(), kAliceSays) == 200);
    f.folder.write("web.yml", kTls);
    CHECK(status(*f.client()) == 200);
  }
}

TEST_CASE("who does not shake hands costs only himself") {
  const ServerLimits limits{.max_connections = 8, .read_timeout = milliseconds(1500)};
  const Fixture f(kTls, limits);
  const auto alive = [&] {
    const auto client = f.client();
    return status(*client) == 200;
  };
  SECTION("silent ones go when room is needed") {
    std::vector<Raw> silent;
    for (int i = 0; i < 40; ++i) {
      silent.push_back(Raw::connect(f.server.port()));
      if (i % 10 == 9) CHECK(alive());
    }
  }
  SECTION("half a greeting has until the read timeout") {
    const Raw raw = Raw::connect(f.server.port());
    raw.send(std::string("\x16\x03\x01\x02\x00\x01\x00", 7));
    CHECK(alive());
    CHECK(raw.closed_within(std::chrono::seconds(15)));
  }
  SECTION("nonsense, and HTTP without TLS") {
    for (const std::string& bytes :
         {std::string("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), std::string(100'000, '\0'),
          std::string(100'000, '\xff'),
          std::string("\x16\x03\x01\xff\xff") + std::string(70'000, 'x'),
          std::string("\x15\x03\x01\x00\x02\x02\x28", 7), std::string("\x80\x2e\x01", 3)}) {
      Raw raw = Raw::connect(f.server.port());
      raw.send(bytes);
      raw.end_of_sending();
      CHECK(raw.receive_all().find("hello") == std::string::npos);
      CHECK(alive());
    }
  }
  SECTION("gone in the middle") {
    for (int i = 0; i < 50; ++i) {
      Raw raw = Raw::connect(f.server.port());
      raw.send(std::string("\x16\x03\x01\x00\x05\x01", 6));
      raw.reset();
    }
    CHECK(alive());
  }
  await([&] { return f.server.stats().active == 0; });
}

TEST_CASE("overload rules hold over TLS") {
  Fixture f(kTls, {.max_connections = 4, .max_active = 1, .max_queued = 1}, 1);
  const auto body = [&](const std::string& target) {
    const auto reply = f.client()->send({.target = target});
    return reply ? reply->body : "no reply";
  };
  std::string first, second;
  std::jthread running([&] { first = body("/work"); });
  f.gate.await(1);
  std::jthread waiting([&] { second = body("/work"); });
  await([&] { return f.server.stats().queued == 1; });
  CHECK(body("/work") == "neutral");  // the queue is full
  CHECK(f.turned_away("/work").queue_full == 1);
  f.gate.open();
  running.join();
  waiting.join();
  CHECK(first == "work");
  CHECK(second == "work");
}

TEST_CASE("who has hung up while waiting gets no handler, over TLS too") {
  Fixture f(kTls, {.max_active = 1}, 1);
  std::string first;
  std::jthread running([&] { first = f.client()->send({.target = "/work?first"})->body; });
  f.gate.await(1);
  {
    std::stop_source stop;
    std::jthread leaving(
        [&] { CHECK_FALSE(f.client()->send({.target = "/work?gone", .stop = stop.get_token()})); });
    await([&] { return f.server.stats().queued == 1; });
    stop.request_stop();
  }
  f.gate.open();
  running.join();
  CHECK(first == "work");
  await([&] { return f.server.stats().active == 0 && f.server.stats().queued == 0; });
  CHECK(f.order == std::vector<std::string>{"first"});
}

}  // namespace
}  // namespace optipod::http
