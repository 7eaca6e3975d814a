// SPDX-License-Identifier: Apache-2.0
// /explain over HTTP.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/common/raw_socket.hpp"
#include "tests/extender/webhook.hpp"

namespace optipod::extender {
namespace {

using test::Extender;
using test::request;

/// The chunks of a reply's body.
std::vector<std::string> chunks_of(const std::string& reply) {
  std::vector<std::string> out;
  std::size_t at = reply.find("\r\n\r\n") + 4;
  while (true) {
    const std::size_t line = reply.find("\r\n", at);
    REQUIRE(line != std::string::npos);
    const std::size_t size = std::stoul(reply.substr(at, line - at), nullptr, 16);
    if (size == 0) return out;
    out.push_back(reply.substr(line + 2, size));
    at = line + 2 + size + 2;
  }
}

TEST_CASE("a long explanation is made a decision at a time, and others are answered meanwhile") {
  Extender e(AnswerOptions{.explain_candidates = 400});
  test::Cluster cluster;
  std::string names;
  for (int i = 0; i < 400; ++i) {
    const std::string name = "node-" + std::to_string(i);
    cluster[name] = {{Signal::kCpus, 4}, {Signal::kCpuUtilization15s, i / 400.0}};
    names += (i == 0 ? "[\"" : ",\"") + name + "\"";
  }
  names += "]";
  e.measure(cluster);
  constexpr std::size_t kDecisions = 60;
  for (std::size_t i = 0; i < kDecisions; ++i) {
    e.post("/prioritize", request(names, "p" + std::to_string(i)));
  }

  http::test::Raw slow = http::test::Raw::connect(e.server.port());
  slow.send("GET /explain?limit=100 HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string reply = slow.receive();
  CHECK(reply.find("Transfer-Encoding: chunked") != std::string::npos);
  // It is more than any socket holds, and its reader has not asked for the rest.
  const auto answer = e.post("/prioritize", request(names, "meanwhile"));
  CHECK(answer.body.starts_with(R"([{"Host")"));
  CHECK(e.get("/explain?limit=1").body.find("meanwhile") != std::string::npos);
  const std::string end = "\r\n0\r\n\r\n";
  CHECK_FALSE(reply.ends_with(end));
  while (!reply.ends_with(end)) {
    const std::string more = slow.receive();
    REQUIRE_FALSE(more.empty());
    reply += more;
  }
  std::string body;
  for (const std::string& chunk : chunks_of(reply)) {
    const std::size_t first = chunk.find("candidates_total");
    REQUIRE(first != std::string::npos);
    CHECK(chunk.find("candidates_total", first + 1) == std::string::npos);
    body += chunk;
  }
  const auto told = nlohmann::json::parse(body)["decisions"];
  REQUIRE(told.size() == kDecisions);
  CHECK(told[0]["pod"]["name"] == "p59");
  CHECK(told[59]["candidates"].size() == 400);
  CHECK(e.get("/explain?pod=nobody").body == "{\n  \"decisions\": []\n}\n");
  const std::string some = e.get("/explain?limit=3").body;  // laid out as one
  CHECK(some == nlohmann::ordered_json::parse(some).dump(2) + "\n");
}

}  // namespace
}  // namespace optipod::extender
