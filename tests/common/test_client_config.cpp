// SPDX-License-Identifier: Apache-2.0
//
// Outgoing requests that say who they are: the file, and a Fetcher over TLS with it.
#include "common/http/client_config.hpp"

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/http/client.hpp"
#include "common/http/server.hpp"
#include "tests/common/certificates.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http {
namespace {

using test::certificates;
using test::Folder;
using Result = ClientResult;

const std::string kServerTls =
    "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
const std::string kAlice =  // her password is "secret"
    "basic_auth_users:\n  alice: $2b$04$aaaaaaaaaaaaaaaaaaaaaOGY9KrC7e/pHj3EXQPxs8hKEBbvQhsvG\n";

struct Fixture {
  explicit Fixture(const std::string& web_config) {
    for (const char* name : {"server.crt", "server.key", "ca.crt", "other.crt", "client.crt",
                             "client.key", "stranger.crt", "stranger.key"}) {
      folder.write(name, certificates().pem(name));
    }
    server.route("GET", "/hello", [](const Request&, Response& r) { r.body = "hello"; });
    const auto listening = server.listen("127.0.0.1:0", folder.write("web.yml", web_config));
    if (!listening) FAIL(listening.error());
  }
  std::shared_ptr<ClientConfigFile> open(const std::string& text) const {
    auto file = open_client_config(folder.write("client.yml", text));
    if (!file) FAIL(file.error());
    return *file;
  }
  Result get(const ClientConfig& config, const std::string& host = "127.0.0.1") {
    ClientOptions options;
    options.tls = config.tls_client;
    if (!config.authorization.empty()) {
      options.headers = {{"Authorization", config.authorization}};
    }
    auto promise = std::make_shared<std::promise<Result>>();
    auto future = promise->get_future();
    fetcher.get("https://" + host + ":" + std::to_string(server.port()) + "/hello", options,
                [promise](Result result) { promise->set_value(std::move(result)); });
    return future.get();
  }
  Folder folder;
  Server server;
  Fetcher fetcher{1};
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a Fetcher over TLS trusts whom the file names, and keeps the connection") {
  Fixture f(kServerTls);
  const auto good = f.open("tls_config:\n  ca_file: ca.crt\n")->current();
  for (int i = 0; i < 5; ++i) {
    const Result reply = f.get(*good);
    INFO((reply ? "" : reply.error().what));
    REQUIRE(reply);
    CHECK(reply->body == "hello");
  }
  const auto wrong = f.open("tls_config:\n  ca_file: other.crt\n")->current();
  const Result refused = f.get(*wrong);  // not over the connection kept for the other
  REQUIRE_FALSE(refused);
  CHECK(contains(refused.error().what, "certificate is not accepted"));
  CHECK(f.get(*f.open("tls_config:\n  insecure_skip_verify: true\n")->current()));
  const Result misnamed = f.get(*good, "localhost");
  REQUIRE_FALSE(misnamed);
  CHECK(contains(misnamed.error().what, "TLS server name"));
  CHECK(f.get(*f.open("tls_config:\n  ca_file: ca.crt\n  server_name: kube.example\n")->current(),
              "localhost"));
  CHECK(f.get(*good));
}

TEST_CASE("a Fetcher says https needs TLS options, and a plain server is no TLS server") {
  Fixture f(kServerTls);
  const Result none = f.get({});
  REQUIRE_FALSE(none);
  CHECK(contains(none.error().what, "no TLS options"));
  Server plain;
  REQUIRE(plain.listen("127.0.0.1:0").has_value());
  std::vector<std::string> files;
  ClientOptions options;
  options.timeout = std::chrono::milliseconds(200);
  options.tls = (*read_client_config("", files))->tls_client;
  std::promise<Result> promise;
  f.fetcher.get("https://127.0.0.1:" + std::to_string(plain.port()) + "/", options,
                [&](Result result) { promise.set_value(std::move(result)); });
  const Result reply = promise.get_future().get();
  REQUIRE_FALSE(reply);
  INFO(reply.error().what);
  CHECK(contains(reply.error().what, "while shaking hands (TLS)"));  // it waits for a request
}

TEST_CASE("a Fetcher shows its certificate, its password and its token") {
  SECTION("a certificate") {
    Fixture f(kServerTls +
              "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n");
    const std::string ca = "tls_config:\n  ca_file: ca.crt\n";
    CHECK(f.get(*f.open(ca + "  cert_file: client.crt\n  key_file: client.key\n")->current()));
    CHECK_FALSE(
        f.get(*f.open(ca + "  cert_file: stranger.crt\n  key_file: stranger.key\n")->current()));
    CHECK_FALSE(f.get(*f.open(ca)->current()));
  }
  SECTION("a password that changes") {
    Fixture f(kServerTls + kAlice);
    f.folder.write("password", "wrong\n");
    const auto file = f.open(
        "tls_config:\n  ca_file: ca.crt\nbasic_auth:\n  username: alice\n  password_file: "
        "password\n");
    CHECK(f.get(*file->current())->status == 401);
    f.folder.write("password", "secret\n");
    CHECK(f.get(*file->current())->status == 200);
    f.folder.write("client.yml", "basic_auth: [\n");  // broken: what was there stays
    CHECK(f.get(*file->current())->status == 200);
  }
  SECTION("a token") {
    const Fixture f(kServerTls);
    f.folder.write("token", "abc.def\n");
    CHECK(f.open("authorization:\n  credentials_file: token\n")->current()->authorization ==
          "Bearer abc.def");
    CHECK(f.open("authorization:\n  type: Token\n  credentials: x\n")->current()->authorization ==
          "Token x");
  }
}

TEST_CASE("what is wrong in a client's file is told by file and line") {
  const Folder folder;
  folder.write("ca.crt", certificates().pem("ca.crt"));
  folder.write("client.crt", certificates().pem("client.crt"));
  folder.write("stranger.key", certificates().pem("stranger.key"));
  folder.write("empty", "\n");
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"tls_config:\n  ca_file: none.crt\n", ":2: tls_config.ca_file: cannot read"},
      {"tls_config:\n  ca: no certificate\n", "is not PEM"},
      {"tls_config:\n  cert_file: client.crt\n", "without its key"},
      {"tls_config:\n  cert_file: client.crt\n  key_file: stranger.key\n",
       "cannot use the client key"},
      {"tls_config:\n  insecure_skip_verify: 1\n", ":2: tls_config.insecure_skip_verify"},
      {"basic_auth:\n  password: x\n", "basic_auth: needs username"},
      {"basic_auth:\n  username: a:b\n", "holds no colon"},
      {"authorization:\n  type: Bearer\n", "needs credentials"},
      {"authorization:\n  credentials_file: empty\n", "needs credentials"},
      {"authorization:\n  type: basic\n  credentials: x\n", "use basic_auth"},
      {"authorization:\n  credentials: \"a\\nb\"\n", "line break"},
      {"basic_auth:\n  username: a\nauthorization:\n  credentials: x\n", "beside basic_auth"},
      {"bearer_token: x\n", ":1: bearer_token is unknown here"},
      {"tls_config:\n  cert: client.crt\n  keyfile: stranger.key\n",
       ":3: tls_config.keyfile is unknown here"},
      {"basic_auth:\n  user: a\n  password: x\n", ":2: basic_auth.user is unknown here"},
      {"authorization:\n  credential: x\n", ":2: authorization.credential is unknown here"},
      {"tls_config: [\n", "client.yml:"}};
  for (const auto& [text, said] : wrong) {
    INFO(text);
    std::vector<std::string> files;
    const auto config = read_client_config(folder.write("client.yml", text), files);
    REQUIRE_FALSE(config);
    INFO(config.error());
    CHECK(contains(config.error(), said));
    CHECK(contains(config.error(), "client.yml"));
  }
}

}  // namespace
}  // namespace optipod::http
