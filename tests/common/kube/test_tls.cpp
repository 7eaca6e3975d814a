// SPDX-License-Identifier: Apache-2.0
//
// Who is trusted, and by what name.
#include <filesystem>
#include <thread>

#include "tests/common/certificates.hpp"
#include "tests/common/kube/support.hpp"
#include "tests/support/log.hpp"

namespace optipod::kube {
namespace {

using test::contains;
using test::Folder;

using http::test::certificates;

class Server {
 public:
  explicit Server(const std::string& name, bool ask_client = false)
      : server_(path(name + ".crt").c_str(), path(name + ".key").c_str(),
                ask_client ? path("ca.crt").c_str() : nullptr) {
    REQUIRE(server_.is_valid());
    server_.Get("/x", [](const httplib::Request&, httplib::Response& r) {
      r.set_content("{\"ok\":1}", "application/json");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    test::wait_for(server_);
  }
  ~Server() {
    server_.stop();
    thread_.join();
  }
  [[nodiscard]] std::string url() const { return "https://127.0.0.1:" + std::to_string(port_); }

 private:
  static std::string path(const std::string& name) { return certificates().folder.path(name); }
  httplib::SSLServer server_;
  int port_ = 0;
  std::thread thread_;
};

tl::expected<http::OriginReply, std::string> ask(const ClusterConfig& config) {
  const auto client = Client::make(config);
  REQUIRE(client.has_value());
  auto first = (*client)->get("/x");
  if (!first) return first;
  return (*client)->get("/x");  // also on the kept-alive connection
}

ClusterConfig trusting(const Server& server, const std::string& ca = "ca.crt") {
  ClusterConfig config;
  config.server = server.url();
  config.ca_pem = certificates().pem(ca);
  return config;
}

void check_refused(const ClusterConfig& config, const std::string& why) {
  const auto reply = ask(config);
  REQUIRE_FALSE(reply.has_value());
  INFO(reply.error());
  CHECK(contains(reply.error(), why));
}

TEST_CASE("the right authority and address are trusted") {
  const Server server("server");
  const auto reply = ask(trusting(server));
  INFO((reply ? "" : reply.error()));
  REQUIRE(reply.has_value());
  CHECK(reply->body == "{\"ok\":1}");
  ClusterConfig config = trusting(server);
  config.ca_pem = certificates().pem("other.crt") + config.ca_pem;  // a bundle
  config.tls_server_name = "kube.example";
  CHECK(ask(config).has_value());
}

TEST_CASE("another authority, the system's, and another name are not") {
  const Server server("server");
  check_refused(trusting(server, "other.crt"), "the server's certificate is not accepted: ");
  check_refused(trusting(server, "other.crt"), "is the certificate authority the server's?");
  ClusterConfig config = trusting(server);
  config.ca_pem.clear();
  check_refused(config, "the server's certificate is not accepted: ");
  config = trusting(server);
  config.tls_server_name = "else.example";
  check_refused(config, "set the TLS server name");

  const Server named("named");
  check_refused(trusting(named), "IP address mismatch");
  config = trusting(named);
  config.tls_server_name = "kube.example";
  CHECK(ask(config).has_value());

  const Server common("common");
  config = trusting(common);
  config.tls_server_name = "kube.example";
  check_refused(config, "ostname mismatch");
}

TEST_CASE("insecure-skip-tls-verify trusts anybody") {
  const Server server("named");
  ClusterConfig config;
  config.server = server.url();
  config.insecure_skip_tls_verify = true;
  CHECK(ask(config).has_value());
}

TEST_CASE("a client certificate is shown from memory, and judged by the server") {
  const Server server("server", true);
  ClusterConfig config = trusting(server);
  const auto nameless = ask(config);
  CHECK_FALSE(nameless.has_value());
  config.client_cert_pem = certificates().pem("client.crt");
  config.client_key_pem = certificates().pem("client.key");
  const auto known = ask(config);
  INFO((known ? "" : known.error()));
  CHECK(known.has_value());
  config.client_cert_pem = certificates().pem("stranger.crt");
  config.client_key_pem = certificates().pem("stranger.key");
  CHECK_FALSE(ask(config).has_value());
  config.client_key_pem = certificates().pem("client.key");
  const auto mixed = Client::make(config);
  REQUIRE_FALSE(mixed.has_value());
  CHECK(contains(mixed.error(), "cannot use the client key"));
}

/// A kubeconfig with its certificates in files, as the kubelet has it.
class Rotating {
 public:
  explicit Rotating(const Server& server) {
    write(server.url());
    ca("ca");
    identity("client");
  }
  void write(const std::string& url) const {
    folder.write("config",
                 "current-context: one\ncontexts:\n- {name: one, context: {cluster: c, user: u}}\n"
                 "clusters:\n- name: c\n  cluster: {server: '" +
                     url +
                     "', certificate-authority: ca.crt}\n"
                     "users:\n- name: u\n  user: {client-certificate: x.crt, client-key: x.key}\n");
  }
  void ca(const std::string& name) const { put("ca.crt", certificates().pem(name + ".crt")); }
  void identity(const std::string& name) const {
    put("x.crt", certificates().pem(name + ".crt"));
    put("x.key", certificates().pem(name + ".key"));
  }
  /// As all who rotate do it.
  void put(const std::string& name, const std::string& text) const {
    folder.write("next", text);
    std::filesystem::rename(folder.path("next"), folder.path(name));
  }
  [[nodiscard]] std::unique_ptr<Client> open() const {
    auto client = Client::open(folder.path("config"), "");
    INFO((client ? "" : client.error()));
    REQUIRE(client.has_value());
    return std::move(*client);
  }
  Folder folder;
};

TEST_CASE("certificates that are replaced count from the next request on") {
  const Server server("server", true);
  const Rotating files(server);
  const auto client = files.open();
  REQUIRE(client->get("/x").has_value());

  files.identity("stranger");  // whom the server does not know: what is kept alive must not serve
  CHECK_FALSE(client->get("/x").has_value());
  files.identity("scraper");
  CHECK(client->get("/x").has_value());
  files.ca("other");
  CHECK(contains(client->get("/x").error(), "certificate is not accepted"));
  files.ca("ca");
  CHECK(client->get("/x").has_value());
}

TEST_CASE("certificates that cannot be used leave those before in use, said once") {
  const Server server("server", true);
  const Rotating files(server);
  const auto client = files.open();
  optipod::test::Log log;
  files.put("x.crt", certificates().pem("scraper.crt"));  // its key has not come yet
  for (int i = 0; i < 3; ++i) CHECK(client->get("/x").has_value());
  CHECK(log.count("cannot use the client key") == 1);
  files.put("x.key", certificates().pem("scraper.key"));
  CHECK(client->get("/x").has_value());
  CHECK(log.count("changed, and in use") == 1);

  std::filesystem::remove(files.folder.path("ca.crt"));
  for (int i = 0; i < 3; ++i) CHECK(client->get("/x").has_value());
  CHECK(log.count("certificate-authority: cannot read") == 1);
  files.ca("other");  // which is there again counts
  CHECK_FALSE(client->get("/x").has_value());
  files.ca("ca");
  CHECK(client->get("/x").has_value());

  files.put("config", "clusters: [\n");
  for (int i = 0; i < 3; ++i) CHECK(client->get("/x").has_value());
  CHECK(log.count("not YAML") == 1);
}

TEST_CASE("a kubeconfig that names another server while running is not followed") {
  const Server server("server"), other("server");
  const Rotating files(server);
  const auto client = files.open();
  optipod::test::Log log;
  files.write(other.url());
  CHECK(client->get("/x").has_value());
  CHECK(client->config()->server == server.url());
  CHECK(log.count("restart to follow it") == 1);
}

TEST_CASE("https to a server that speaks plain HTTP, or says nothing, is an error in time") {
  test::RawServer plain([](test::Raw& raw, int) {
    raw.receive();
    raw.send("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  ClusterConfig config;
  config.server = "https://127.0.0.1:" + std::to_string(plain.port());
  check_refused(config, "TLS handshake: ");

  test::RawServer silent([](test::Raw& raw, int) {
    while (!raw.receive(test::seconds(20)).empty()) {
    }
  });
  config.server = "https://127.0.0.1:" + std::to_string(silent.port());
  const auto client = Client::make(config);
  REQUIRE(client.has_value());
  RequestOptions options;
  options.timeout = std::chrono::milliseconds(50);
  const auto reply = (*client)->get("/x", options);
  REQUIRE_FALSE(reply.has_value());
  CHECK(contains(reply.error(), "time is up while shaking hands (TLS)"));
}

}  // namespace
}  // namespace optipod::kube
