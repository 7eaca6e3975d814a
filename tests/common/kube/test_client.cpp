// SPDX-License-Identifier: Apache-2.0
//
// Requests and bindings over plain connections.
#include <algorithm>
#include <thread>

#include "tests/common/kube/support.hpp"

namespace optipod::kube {
namespace {

using test::client_for;
using test::contains;
using test::Folder;
using test::Raw;
using test::RawServer;
using test::seconds;
using test::sized;
using Outcome = BindResult::Outcome;

constexpr const char* kPodPath = "/api/v1/namespaces/shop/pods/web";

/// The part of an API server that binds pods, with its rules and words.
class Binder {
 public:
  Binder() {
    server_.Post("/api/v1/namespaces/shop/pods/[^/]+/binding",
                 [this](const httplib::Request& q, httplib::Response& r) { bind(q, r); });
    server_.Get("/api/v1/namespaces/shop/pods/[^/]+",
                [this](const httplib::Request& q, httplib::Response& r) { get(q, r); });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    test::wait_for(server_);
  }
  ~Binder() {
    server_.stop();
    thread_.join();
  }
  void add(const std::string& name, const std::string& uid, const std::string& node = "") {
    const std::lock_guard lock(mutex_);
    pods_[name] = {uid, node};
  }
  [[nodiscard]] std::string node_of(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return pods_.at(name).second;
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::atomic<int> binds{0}, gets{0};

 private:
  static std::string name_of(const httplib::Request& q) {
    const std::string path = q.path.substr(std::string("/api/v1/namespaces/shop/pods/").size());
    return path.substr(0, path.find('/'));
  }
  static void fail(httplib::Response& r, int code, const std::string& reason,
                   const std::string& message) {
    r.status = code;
    r.set_content(test::api_status(code, reason, message), "application/json");
  }
  void bind(const httplib::Request& q, httplib::Response& r) {
    ++binds;
    const auto body = nlohmann::json::parse(q.body);
    const std::lock_guard lock(mutex_);
    const auto found = pods_.find(name_of(q));
    if (found == pods_.end()) return fail(r, 404, "NotFound", "pods \\\"x\\\" not found");
    auto& [uid, node] = found->second;
    const auto& metadata = body["metadata"];
    if (metadata.contains("uid") && metadata["uid"] != uid) {
      return fail(r, 409, "Conflict", "Precondition failed: UID in precondition");
    }
    if (!node.empty()) return fail(r, 409, "Conflict", "pod is already assigned to node");
    if (body["kind"] != "Binding" || body["target"]["kind"] != "Node" ||
        metadata["name"] != found->first || metadata["namespace"] != "shop") {
      return fail(r, 400, "BadRequest", "not a binding");
    }
    node = body["target"]["name"];
    r.status = 201;
    r.set_content(R"({"kind":"Status","status":"Success"})", "application/json");
  }
  void get(const httplib::Request& q, httplib::Response& r) {
    ++gets;
    const std::lock_guard lock(mutex_);
    const auto found = pods_.find(name_of(q));
    if (found == pods_.end()) return fail(r, 404, "NotFound", "not found");
    const nlohmann::json pod{{"metadata", {{"uid", found->second.first}}},
                             {"spec", {{"nodeName", found->second.second}}}};
    r.set_content(pod.dump(), "application/json");
  }

  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::map<std::string, std::pair<std::string, std::string>> pods_;
};

TEST_CASE("a binding that the API server takes") {
  Binder api;
  api.add("web", "u1");
  const auto client = client_for(api.url());
  const BindResult result = client->bind_pod("shop", "web", "u1", "n1");
  INFO(result.error);
  CHECK(result.bound());
  CHECK_FALSE(result.already);
  CHECK(result.status == 201);
  CHECK(result.node == "n1");
  CHECK(api.node_of("web") == "n1");
  CHECK(api.gets == 0);
}

TEST_CASE("a conflict is told apart by the pod itself") {
  Binder api;
  api.add("here", "u1", "n1");
  api.add("there", "u2", "n2");
  api.add("newer", "u3");
  const auto client = client_for(api.url());
  const BindResult here = client->bind_pod("shop", "here", "u1", "n1");
  CHECK(here.outcome == Outcome::kBound);
  CHECK(here.already);
  CHECK(here.error.empty());
  const BindResult there = client->bind_pod("shop", "there", "u2", "n1");
  CHECK(there.outcome == Outcome::kBoundElsewhere);
  CHECK(there.node == "n2");
  CHECK(there.error == "binding pod shop/there to node n1: 409: pod is already assigned to node");
  const BindResult newer = client->bind_pod("shop", "newer", "u9", "n1");
  CHECK(newer.outcome == Outcome::kReplaced);
  CHECK(contains(newer.error, "has uid u3 now"));
  const BindResult gone = client->bind_pod("shop", "gone", "u", "n1");
  CHECK(gone.outcome == Outcome::kNotFound);
  CHECK(gone.status == 404);
  const BindResult bad = client->bind_pod("shop", "..", "u", "n1");
  CHECK(bad.outcome == Outcome::kFailed);
  CHECK(contains(bad.error, "a name is missing or bad"));
  CHECK(api.binds == 4);
}

TEST_CASE("many threads bind one pod to one node: all succeed, one of them made it") {
  Binder api;
  constexpr int kThreads = 8;
  constexpr int kPods = 25;
  for (int i = 0; i < kPods; ++i) api.add("p" + std::to_string(i), "u" + std::to_string(i));
  const auto client = client_for(api.url());
  std::atomic<int> made{0}, already{0}, failed{0}, elsewhere{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPods; ++i) {
        const auto n = std::to_string(i);
        // One thread wants another node.
        const BindResult r = client->bind_pod("shop", "p" + n, "u" + n, t == 0 ? "other" : "n");
        ++(r.bound() ? (r.already ? already : made)
                     : (r.outcome == Outcome::kBoundElsewhere ? elsewhere : failed));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(failed == 0);
  CHECK(made == kPods);
  CHECK(made + already + elsewhere == kThreads * kPods);
}

TEST_CASE("a binding whose answer is lost is looked up") {
  for (const bool was_made : {true, false}) {
    INFO(was_made);
    RawServer api([&](Raw& raw, int) {
      for (;;) {
        const std::string head = RawServer::read_head(raw);
        if (head.empty() || contains(head, "POST ")) return;  // closes without an answer
        raw.send(sized(was_made ? R"({"spec":{"nodeName":"n1"},"metadata":{"uid":"u1"}})"
                                : R"({"metadata":{"uid":"u1"},"spec":{}})"));
      }
    });
    const auto client = client_for(api.url(""));
    const BindResult result = client->bind_pod("shop", "web", "u1", "n1");
    INFO(result.error);
    CHECK(result.bound() == was_made);
    CHECK(result.unknown == !was_made);
    CHECK(result.status == 0);
    if (!was_made) {
      CHECK(contains(result.error, "POST " + api.url(kPodPath) + "/binding: the peer closed"));
    }
  }
}

TEST_CASE(
    "a dead kept-alive connection costs a binding nothing, and it is not made blindly twice") {
  // Every connection answers once, promises to stay, and dies at the next request.
  std::atomic<int> posts{0};
  RawServer api([&](Raw& raw, int) {
    for (int answered = 0;; ++answered) {
      const std::string head = RawServer::read_head(raw);
      if (head.empty() || answered > 0) return;
      if (contains(head, "POST ")) ++posts;
      raw.send(sized("{}", "201 Created"));
    }
  });
  const auto client = client_for(api.url(""));
  for (int i = 0; i < 5; ++i) {
    const BindResult result = client->bind_pod("shop", "web", "u1", "n1");
    INFO(result.error);
    CHECK(result.bound());
  }
  CHECK(posts == 5);
}

TEST_CASE("server errors are unknown, refusals are not; all carry the API's own words") {
  const struct {
    std::string status;
    std::string body;
    bool unknown;
    const char* message;
  } cases[] = {
      {"500 Internal Server Error", test::api_status(500, "InternalError", "etcd is away"), true,
       "500: etcd is away"},
      {"403 Forbidden", test::api_status(403, "Forbidden", "cannot create pods/binding"), false,
       "403: cannot create pods/binding"},
      {"429 Too Many Requests", "slow down", false, "429: slow down"},
  };
  for (const auto& one : cases) {
    RawServer api([&](Raw& raw, int) {
      for (;;) {
        const std::string head = RawServer::read_head(raw);
        if (head.empty()) return;
        raw.send(contains(head, "POST ") ? sized(one.body, one.status)
                                         : sized(R"({"metadata":{"uid":"u1"},"spec":{}})"));
      }
    });
    const auto client = client_for(api.url(""));
    const BindResult result = client->bind_pod("shop", "web", "u1", "n1");
    CHECK(result.outcome == Outcome::kFailed);
    CHECK(result.unknown == one.unknown);
    CHECK(contains(result.error, std::string("binding pod shop/web to node n1: ") + one.message));
  }
}

TEST_CASE("a request is stopped, bounded and never longer than its time") {
  RawServer silent([](Raw& raw, int) {
    while (!raw.receive(seconds(20)).empty()) {
    }
  });
  const auto client = client_for(silent.url(""));
  RequestOptions options;
  options.timeout = std::chrono::milliseconds(50);
  auto reply = client->get("/x", options);
  REQUIRE_FALSE(reply.has_value());
  CHECK(reply.error() == "GET " + silent.url("/x") + ": time is up while receiving");

  std::stop_source stop;
  options.timeout = seconds(100'000);
  options.stop = stop.get_token();
  std::thread stopper([&] { stop.request_stop(); });
  reply = client->get("/x", options);
  stopper.join();
  REQUIRE_FALSE(reply.has_value());
  CHECK(contains(reply.error(), ": stopped"));

  RawServer endless([](Raw& raw, int) {
    RawServer::read_head(raw);
    raw.send("HTTP/1.1 200 OK\r\n\r\n");
    const std::string block(1 << 16, 'x');
    while (raw.send(block)) {
    }
  });
  options = {};
  options.max_body_bytes = 1 << 20;
  reply = client_for(endless.url(""))->get("/x", options);
  REQUIRE_FALSE(reply.has_value());
  CHECK(contains(reply.error(), "body is longer than 1048576 bytes"));

  CHECK(contains(client->get("no-slash").error(), "the path must start with / and be escaped"));
  CHECK(contains(client->get("/a b").error(), "the path must start with / and be escaped"));
  const auto nobody = client_for("http://127.0.0.1:1")->get("/x");
  REQUIRE_FALSE(nobody.has_value());
  CHECK(contains(nobody.error(), "connecting: Connection refused"));
}

TEST_CASE("a prefix of the server's URL comes before every path") {
  std::string line;
  RawServer api([&](Raw& raw, int) {
    line = RawServer::read_head(raw);
    raw.send(sized("{}"));
  });
  REQUIRE(client_for(api.url("/k8s/c-1/"))->get("/api?x=1").has_value());
  CHECK(line.rfind("GET /k8s/c-1/api?x=1 HTTP/1.1\r\n", 0) == 0);
  CHECK(contains(line, "Accept: application/json\r\n"));
}

TEST_CASE("a token file is read again when it changes, and when the server says 401") {
  const Folder folder;
  const std::string file = folder.write("token", " one \n");
  std::mutex mutex;
  std::string valid = "one";
  std::vector<std::string> seen;
  RawServer api([&](Raw& raw, int) {
    for (;;) {
      const std::string head = RawServer::read_head(raw);
      if (head.empty()) return;
      const std::size_t at = head.find("Authorization: Bearer ");
      REQUIRE(at != std::string::npos);
      const std::string token = head.substr(at + 22, head.find("\r\n", at) - at - 22);
      const std::lock_guard lock(mutex);
      seen.push_back(token);
      raw.send(token == valid ? sized("{}") : sized("", "401 Unauthorized"));
    }
  });
  ClusterConfig config;
  config.server = api.url("");
  config.token_file = file;
  const auto client = Client::make(config);
  REQUIRE(client.has_value());
  CHECK((*client)->get("/a").value().status == 200);

  // As the kubelet does: a link moves to another file.
  folder.write("next", "two");
  std::filesystem::rename(folder.path("next"), file);
  {
    const std::lock_guard lock(mutex);
    valid = "two";
  }
  CHECK((*client)->get("/b").value().status == 200);
  std::filesystem::remove(file);  // for a moment: the old one is still good
  CHECK((*client)->get("/c").value().status == 200);

  // Changed so that its state looks the same: only the refusal tells.
  folder.write("token", "two");
  CHECK((*client)->get("/d").value().status == 200);
  const auto time = std::filesystem::last_write_time(file);
  folder.write("token", "six");
  std::filesystem::last_write_time(file, time);
  {
    const std::lock_guard lock(mutex);
    valid = "six";
  }
  CHECK((*client)->get("/e").value().status == 200);
  {
    const std::lock_guard lock(mutex);
    CHECK(seen == std::vector<std::string>{"one", "two", "two", "two", "two", "six"});
    valid = "nothing";
  }
  CHECK((*client)->get("/f").value().status == 401);
}

TEST_CASE("a client that cannot work says which part of its configuration is wrong") {
  ClusterConfig config;
  config.source = "kubeconfig x";
  config.server = "ftp://k";
  CHECK(Client::make(config).error() ==
        "kubeconfig x: server: \"ftp://k\" is not an http:// or https:// URL");
  config.server = "https://k";
  config.ca_pem = "not pem";
  CHECK(contains(Client::make(config).error(), "the certificate authority is not PEM"));
  config.ca_pem.clear();
  config.client_key_pem = "k";
  CHECK(contains(Client::make(config).error(), "a client key without a certificate"));
  config.client_cert_pem = "c";
  CHECK(contains(Client::make(config).error(), "cannot read the client certificate"));
  config = {};
  config.server = "http://k";
  config.token_file = "/nonexistent/token";
  CHECK(contains(Client::make(config).error(), "cannot read /nonexistent/token"));
  config.token_file.clear();
  config.token = "a\r\nb";
  CHECK(contains(Client::make(config).error(), "the token holds a line break"));
}

TEST_CASE("what comes bit by bit is read together, what is there already at once") {
  std::atomic<bool> first{false}, whole{false};
  RawServer api([&](Raw& raw, int) {
    RawServer::read_head(raw);
    raw.send(test::kWatchHead + test::chunk("first"));
    test::eventually([&] { return first.load(); });
    raw.send(test::chunk("a "));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    whole = true;  // unless the client has read the half of it before
    raw.send(test::chunk("bit") + test::kLastChunk);
  });
  const auto client = client_for(api.url(""));
  http::StreamOptions how;
  how.gather = seconds(2);
  std::string read;
  const auto sink = [&](std::string_view bytes) {
    if (read.empty()) {
      first = true;
    } else {
      CHECK(whole);
    }
    read += bytes;
    return true;
  };
  const auto reply = client->stream("/", how, sink, {});
  REQUIRE(reply.has_value());
  CHECK(read == "firsta bit");
}

}  // namespace
}  // namespace optipod::kube
