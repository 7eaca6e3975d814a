// SPDX-License-Identifier: Apache-2.0
//
// web.config.yml: what is taken, what is refused and with which words.
#include <string>
#include <utility>
#include <vector>

#include "common/http/passwords.hpp"
#include "common/http/web_config.hpp"
#include "tests/common/certificates.hpp"
#include "tests/support/catch.hpp"

namespace optipod::http {
namespace {

using test::certificates;

constexpr const char* kTls =
    "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
const std::string kSecret = "$2b$04$aaaaaaaaaaaaaaaaaaaaaOGY9KrC7e/pHj3EXQPxs8hKEBbvQhsvG";

auto read(const std::string& text) {
  std::vector<std::string> files;
  return read_web_config(certificates().folder.write("web.yml", text), files);
}

TEST_CASE("web.config.yml as the exporter toolkit defines it") {
  const std::string tls = kTls;
  for (const std::string& good :
       {std::string(), std::string("{}"), std::string("basic_auth_users:\n"), tls,
        tls + "  client_auth_type: RequireAnyClientCert\n",
        tls + "  client_auth_type: RequestClientCert\n",
        tls + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt\n",
        tls + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
              "  client_allowed_sans: [scraper.example]\n",
        tls + "  min_version: TLS13\n  max_version: TLS13\n", tls + "  min_version: TLS10\n",
        tls + "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "
              "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305, TLS_AES_128_GCM_SHA256]\n"
              "  prefer_server_cipher_suites: false\n",
        tls + "  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]\n",
        tls + "http_server_config:\n  http2: false\n",
        std::string("http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n"
                    "    Strict-Transport-Security: max-age=31536000\n"),
        std::string("tls_server_config:\n"), "basic_auth_users:\n  a: " + kSecret + "\n"}) {
    INFO(good);
    const auto config = read(good);
    if (!config) FAIL(config.error());
    CHECK(((*config)->tls != nullptr) == good.starts_with(tls));
  }
  const auto all = read(
      "http_server_config:\n  headers:\n    X-Content-Type-Options: nosniff\n"
      "basic_auth_users:\n  alice: " +
      kSecret + "\n");
  REQUIRE(all);
  CHECK((*all)->users == Users{{"alice", kSecret}});
  CHECK((*all)->headers ==
        std::vector<std::pair<std::string, std::string>>{{"X-Content-Type-Options", "nosniff"}});
}

TEST_CASE("what is wrong in web.config.yml is told by file and line") {
  const std::string tls = kTls;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a: b", "web.yml:1: a is unknown here"},
      {"- a", "web.yml:1: "},
      {"tls_server_config: [", "web.yml:"},
      {"tls_server_config:\n  cert_file: server.crt\n", "needs key_file"},
      {"tls_server_config:\n  key_file: server.key\n", "needs cert_file"},
      {"tls_server_config:\n  cert_file: ''\n  key_file: server.key\n", "needs cert_file"},
      {"tls_server_config:\n  cert_file: none.crt\n  key_file: server.key\n", "web.yml:2: "},
      {"tls_server_config:\n  cert_file: server.crt\n  key_file: client.key\n",
       "not of the certificate"},
      {"tls_server_config:\n  cert_file: web.yml\n  key_file: server.key\n",
       "cannot read the certificate"},
      {tls + "  cert: x\n", "as text and as cert_file"},
      {tls + "  certfile: x\n", "web.yml:4: tls_server_config.certfile is unknown here"},
      {"tls_server_config:\n  certfile: server.crt\n  key_file: server.key\n",
       "web.yml:2: tls_server_config.certfile is unknown here"},
      {tls + "  client_auth_type: RequireAndVerifyClientCert\n  client_cafile: ca.crt\n",
       "web.yml:5: tls_server_config.client_cafile is unknown here"},
      {tls + "  client_auth_type: Sometimes\n", "web.yml:4: "},
      {tls + "  client_auth_type: RequireAndVerifyClientCert\n", "needs client_ca_file"},
      {tls + "  client_ca_file: ca.crt\n", "client_auth_type does not ask"},
      {tls + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: web.yml\n",
       "holds no certificate"},
      {tls + "  client_auth_type: RequestClientCert\n  client_allowed_sans: [a]\n",
       "client_allowed_sans needs"},
      {tls + "  min_version: TLS14\n", "unknown TLS version TLS14"},
      {tls + "  min_version: TLS13\n  max_version: TLS12\n", "min_version is above"},
      {tls + "  cipher_suites: [TLS_SUPER]\n", "TLS_SUPER is not known"},
      {tls + "  curve_preferences: [CurveP257]\n", "CurveP257 is none of"},
      {"http_server_config:\n  headers:\n    X-Frame-Options: never\n", "web.yml:3: "},
      {"http_server_config:\n  headers:\n    X-Other: a\n", "X-Other is unknown here"},
      {"http_server_config:\n  headers:\n    Content-Security-Policy: \"a\\nb\"\n", "web.yml:3: "},
      {"basic_auth_users:\n  alice: secret\n",
       "web.yml:2: basic_auth_users.alice: not a bcrypt hash"},
      {"basic_auth_users:\n  alice: $2y$30$" + kSecret.substr(7) + "\n", "bcrypt cost 30"},
      {"basic_auth_users:\n  alice: " + kSecret + "\n  alice: " + kSecret + "\n", "given twice"},
      {"rate_limit:\n  burst: 1\n", "web.yml:2: rate_limit: not supported"}};
  for (const auto& [text, words] : cases) {
    INFO(text);
    const auto config = read(text);
    REQUIRE_FALSE(config);
    INFO(config.error());
    CHECK(config.error().find(words) != std::string::npos);
    CHECK(config.error().find("web.yml") != std::string::npos);
  }
  std::vector<std::string> files;
  CHECK_FALSE(read_web_config(certificates().folder.path("absent.yml"), files));
}

TEST_CASE("credentials of an Authorization header") {
  const auto good = basic_credentials("Basic YWxpY2U6c2VjcmV0");
  REQUIRE(good);
  CHECK(good->user == "alice");
  CHECK(good->password == "secret");
  CHECK(basic_credentials("bAsIc  YTpiOmM=")->password == "b:c");
  CHECK(basic_credentials("Basic Og==")->user.empty());
  for (const char* bad : {"", "Basic", "Basic ", "Basic YWxpY2U6c2VjcmV", "Basic !!!!",
                          "Basic ====", "Basic YWxpY2U=", "Bearer YWxpY2U6c2VjcmV0",
                          "BasicYWxpY2U6c2VjcmV0", "Basic YTpiAGM="}) {  // a:b NUL c
    INFO(bad);
    CHECK_FALSE(basic_credentials(bad));
  }
}

TEST_CASE("passwords are remembered, right ones and wrong ones apart, and not too many") {
  const Users users{{"alice", kSecret}};
  Passwords passwords;
  const Credentials right{"alice", "secret"}, wrong{"alice", "Secret"}, nobody{"bob", "secret"};
  for (const auto& credentials : {right, wrong, nobody}) {
    CHECK_FALSE(passwords.recall(users, credentials));
  }
  CHECK(passwords.check(users, right));
  CHECK_FALSE(passwords.check(users, wrong));
  CHECK_FALSE(passwords.check(users, nobody));
  CHECK(passwords.recall(users, right) == true);
  CHECK(passwords.recall(users, wrong) == false);
  CHECK(passwords.recall(users, nobody) == false);
  // Another hash of the same user is another question.
  CHECK_FALSE(passwords.recall({{"alice", "$2b$04$b" + kSecret.substr(8)}}, right));
  CHECK_FALSE(passwords.recall({}, right));
  for (std::size_t i = 0; i < Passwords::kMostRemembered; ++i) {
    CHECK_FALSE(passwords.check(users, {"alice", std::to_string(i)}));
  }
  CHECK_FALSE(passwords.recall(users, wrong));
  CHECK(passwords.recall(users, right) == true);
}

}  // namespace
}  // namespace optipod::http
