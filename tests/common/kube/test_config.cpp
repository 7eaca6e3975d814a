// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "common/kube/config.hpp"
#include "tests/common/kube/support.hpp"

namespace optipod::kube {
namespace {

using test::contains;
using test::Folder;

/// The line number that a message gives is that of the line with `@`, which is taken out.
struct Marked {
  std::string text;
  int line = 0;
};
Marked marked(std::string text) {
  const std::size_t at = text.find('@');
  REQUIRE(at != std::string::npos);
  const auto lines = std::count(text.begin(), text.begin() + static_cast<long>(at), '\n');
  text.erase(at, 1);
  return {text, static_cast<int>(lines) + 1};
}

std::string config_with(const std::string& cluster, const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: one\ncontexts:\n"
         "- name: one\n  context: {cluster: c, user: u, namespace: shop}\n"
         "- name: two\n  context: {cluster: c2}\n"
         "clusters:\n- name: c\n  cluster:\n" +
         cluster +
         "- name: c2\n  cluster: {server: 'http://127.0.0.1:8001'}\nusers:\n- name: u\n  user:\n" +
         user;
}

TEST_CASE("a kubeconfig with everything in itself") {
  const Folder folder;
  // "Y2E=" is "ca", "Y2VydA==" "cert", "a2V5" "key".
  const std::string path = folder.write(
      "config", config_with("    server: https://k:6443/prefix\n    tls-server-name: kube.example\n"
                            "    certificate-authority: ignored\n"
                            "    certificate-authority-data: Y2E=\n",
                            "    client-certificate-data: Y2VydA==\n    client-key-data: a2V5\n"
                            "    token: secret\n"));
  const auto config = load_kubeconfig(path);
  REQUIRE(config.has_value());
  CHECK(config->server == "https://k:6443/prefix");
  CHECK(config->tls_server_name == "kube.example");
  CHECK(config->ca_pem == "ca");
  CHECK(config->client_cert_pem == "cert");
  CHECK(config->client_key_pem == "key");
  CHECK(config->token == "secret");
  CHECK(config->default_namespace == "shop");
  CHECK_FALSE(config->insecure_skip_tls_verify);
  CHECK(config->source == "kubeconfig " + path + ", context one");

  const auto other = load_kubeconfig(path, "two");
  REQUIRE(other.has_value());
  CHECK(other->server == "http://127.0.0.1:8001");
  CHECK(other->token.empty());
  CHECK(other->default_namespace == "default");
}

TEST_CASE("a kubeconfig with files beside it, and as JSON") {
  const Folder folder;
  std::filesystem::create_directory(folder.path("pki"));
  folder.write("pki/ca", "the ca");
  folder.write("pki/crt", "the cert");
  folder.write("pki/key", "the key");
  const std::string token = folder.write("pki/token", "fresh\n");
  const auto config = load_kubeconfig(folder.write(
      "config", config_with("    server: https://k\n    certificate-authority: pki/ca\n",
                            "    client-certificate: pki/crt\n    client-key: pki/key\n"
                            "    token: stale\n    tokenFile: pki/token\n")));
  REQUIRE(config.has_value());
  CHECK(config->ca_pem == "the ca");
  CHECK(config->client_cert_pem == "the cert");
  CHECK(config->client_key_pem == "the key");
  CHECK(config->token.empty());
  CHECK(config->token_file == token);

  const auto json = load_kubeconfig(folder.write(
      "json", R"({"kind":"Config","current-context":"x","contexts":[{"name":"x","context":)"
              R"({"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"https://k",)"
              R"("insecure-skip-tls-verify":true}}],"users":null})"));
  REQUIRE(json.has_value());
  CHECK(json->server == "https://k");
  CHECK(json->insecure_skip_tls_verify);
}

TEST_CASE("what is wrong with a kubeconfig is said with its line, and what to do") {
  const Folder folder;
  const std::string server = "    server: https://k\n";
  const struct {
    std::string text;
    const char* message;
  } cases[] = {
      {config_with(server, "    exec:\n      @command: aws\n"),
       "\"exec\" runs another program to log in, which is not supported; use a token (kubectl "
       "create token <serviceaccount>) or a client certificate"},
      {config_with(server, "    auth-provider: @{name: gcp}\n"), "\"auth-provider\" runs another"},
      {config_with(server, "    username: @admin\n"), "by password is not supported; use a token"},
      {config_with(server, "    as: @admin\n"), "impersonation is not supported"},
      {config_with(server + "    proxy-url: @http://p\n", "    token: t\n"),
       "proxy-url is not supported"},
      {config_with(server + "    certificate-authority-data: @'*'\n", "    token: t\n"),
       "certificate-authority-data is not base64"},
      {config_with(server + "    certificate-authority: @gone\n", "    token: t\n"),
       "certificate-authority: cannot read"},
      {config_with(server + "    insecure-skip-tls-verify: @maybe\n", "    token: t\n"),
       "insecure-skip-tls-verify is neither true nor false"},
      {config_with(server + "    certificate-authority-data: Y2E=\n"
                            "    insecure-skip-tls-verify: @true\n",
                   "    token: t\n"),
       "exclude each other; leave one out"},
      {config_with("    @tls-server-name: x\n", "    token: t\n"), "the cluster has no server"},
      {config_with("    server: @[a]\n", "    token: t\n"), "server is not a text"},
      {config_with(server, "    tokenFile: @gone\n"), "tokenFile: cannot read"},
      {config_with(server, "    @client-key-data: a2V5\n"),
       "the user has a client-key but no client-certificate"},
      {"@kind: Pod\n", "kind is not Config"},
      {"@[]\n", "is not a mapping with clusters, users and contexts"},
      {"@kind: Config\ncontexts: [{name: a}, {name: b}]\n",
       "has no current-context; name a context with --kube-context (there are: a, b)"},
      {"kind: Config\ncurrent-context: x\ncontexts:\n@- name: y\n  context: {}\n",
       "no context \"x\" in contexts (there are: y)"},
      {"kind: Config\ncurrent-context: x\ncontexts:\n@- name: x\n",
       "contexts \"x\" has no mapping \"context\""},
      {"kind: Config\ncurrent-context: x\ncontexts: @no\n", "contexts is not a list"},
      {"@kind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n",
       "no cluster \"c\" in clusters (there are none)"},
      {"kind: Config\na: b: @c\n", "not YAML: "},
  };
  for (const auto& [text, message] : cases) {
    const Marked bad = marked(text);
    INFO(bad.text);
    const auto config = load_kubeconfig(folder.write("config", bad.text));
    REQUIRE_FALSE(config.has_value());
    INFO(config.error());
    CHECK(contains(config.error(),
                   "kubeconfig " + folder.path("config") + ":" + std::to_string(bad.line) + ": "));
    CHECK(contains(config.error(), message));
  }
  const auto missing = load_kubeconfig(folder.path("gone"));
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error() ==
        "kubeconfig: cannot read " + folder.path("gone") + ": No such file or directory");
  CHECK_FALSE(load_kubeconfig(folder.path()).has_value());
  CHECK_FALSE(load_kubeconfig(folder.write("empty", "")).has_value());
}

TEST_CASE("in a cluster, the environment and the service account say it all") {
  const Folder folder;
  unsetenv("KUBERNETES_SERVICE_HOST");
  unsetenv("KUBECONFIG");
  setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  auto config = load_in_cluster(folder.path());
  REQUIRE_FALSE(config.has_value());
  CHECK(contains(config.error(), "not in a Kubernetes pod: KUBERNETES_SERVICE_HOST"));

  setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
  config = load_in_cluster(folder.path());
  REQUIRE_FALSE(config.has_value());
  CHECK(contains(config.error(), folder.path("token")));
  CHECK(contains(config.error(), "automountServiceAccountToken"));

  folder.write("token", "t\n");
  folder.write("ca.crt", "the ca");
  config = load_in_cluster(folder.path());
  REQUIRE(config.has_value());
  CHECK(config->server == "https://[fd00::1]:443");
  CHECK(config->token_file == folder.path("token"));
  CHECK(config->ca_pem == "the ca");
  CHECK(config->default_namespace == "default");

  setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
  folder.write("namespace", "optipod");
  config = load_in_cluster(folder.path());
  REQUIRE(config.has_value());
  CHECK(config->server == "https://10.0.0.1:443");
  CHECK(config->default_namespace == "optipod");
}

TEST_CASE("a given kubeconfig comes before $KUBECONFIG, and that before the cluster") {
  const Folder folder;
  unsetenv("KUBERNETES_SERVICE_HOST");
  const std::string a = folder.write("a", config_with("    server: http://a\n", "    token: t\n"));
  const std::string b = folder.write("b", config_with("    server: http://b\n", "    token: t\n"));
  setenv("KUBECONFIG", b.c_str(), 1);
  CHECK(load_config(a).value().server == "http://a");
  CHECK(load_config().value().server == "http://b");
  CHECK(load_config("", "two").value().server == "http://127.0.0.1:8001");
  setenv("KUBECONFIG", (a + ":" + b).c_str(), 1);
  CHECK(contains(load_config().error(), "lists several files; give one"));
  unsetenv("KUBECONFIG");
  CHECK(contains(load_config().error(), "give a kubeconfig"));
  CHECK(contains(load_config("", "two").error(), "context \"two\""));
}

}  // namespace
}  // namespace optipod::kube
