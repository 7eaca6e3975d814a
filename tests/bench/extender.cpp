// SPDX-License-Identifier: Apache-2.0
// /prioritize and /filter with 1,000 and 5,000 candidates in kube-scheduler's wire format over a
// warm connection, one request at a time as kube-scheduler sends them.
//
// Time: inside the server, from the last byte of the request read to the reply handed to the
// kernel, for each policy alone and for all combined; beside it for the policy contention a stock
// Go extender's, from the body read to the reply flushed. Ours has its usual company meanwhile
// (extender_ours.hpp), the Go extender has none.
//
// CPU: requests per second of CPU time that a server process takes as a whole, our program's beside
// the Go extender's. Ours fetches the measurements twice a second and remembers its decisions
// meanwhile; the Go extender is given its measurements before the clock runs. Both must give the
// same answer, byte for byte.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "common/http/client.hpp"
#include "common/http/server.hpp"
#include "extender/clock.hpp"
#include "tests/bench/extender_load.hpp"
#include "tests/bench/extender_ours.hpp"
#include "tests/bench/extender_peer.hpp"
#include "tests/support/bench.hpp"

namespace {

using namespace optipod;
using bench::Connection;
using bench::GoExtender;
using bench::kNodes;
using bench::Ours;
using bench::Request;
using bench::ServerProcess;

constexpr std::size_t kRounds = 10;  // they alternate: noise hits all alike
constexpr std::size_t kWarm = 20;
constexpr auto kCpuRound = std::chrono::milliseconds(1'000);
constexpr std::string_view kPeer = "go net/http+encoding/json";
constexpr std::string_view kCompared = "/policies/contention/prioritize";

/// An aggregator with measurements that are always fresh.
class Feed {
 public:
  Feed() {
    server_.route("GET", "/federate", [this](const http::Request&, http::Response& reply) {
      const std::lock_guard lock(mutex_);
      reply.body = view_.at(extender::unix_ms());
    });
    if (!server_.listen("127.0.0.1:0")) throw std::runtime_error("cannot listen on loopback");
  }
  ~Feed() { server_.stop(); }
  [[nodiscard]] std::string url() const {
    return fmt::format("http://127.0.0.1:{}", server_.port());
  }
  std::string now() {
    const std::lock_guard lock(mutex_);
    return view_.at(extender::unix_ms());
  }

 private:
  std::mutex mutex_;
  bench::View view_;
  http::Server server_;
};

/// Until a server has measurements of every node.
void wait_until_it_knows(std::uint16_t port) {
  for (int tries = 0; tries < 300; ++tries) {
    const auto ready = http::get(fmt::format("http://127.0.0.1:{}/readyz", port));
    if (ready && nlohmann::json::parse(ready->body).value("nodes_fresh", 0U) == kNodes) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  throw std::runtime_error("the extender did not learn of all nodes in 30 s");
}

double percentile(std::vector<double>& values, double p) {
  std::ranges::sort(values);
  const auto at = static_cast<std::size_t>(std::lround(p * static_cast<double>(values.size() - 1)));
  return values.at(at);
}

void call(Connection& connection, std::string_view path, Request& request, std::size_t times) {
  for (std::size_t i = 0; i < times; ++i) connection.post(path, request.of(i));
}

/// One path's times, ours and where there is one the peer's.
struct Case {
  std::string name, path;
  bool peer = false;
  std::vector<double> own_ns, peer_ns;
};

std::vector<Case> cases(const Ours& ours, bool peer, std::string_view only) {
  std::vector<Case> out;
  for (const std::string& policy : ours.policies()) {
    out.push_back({policy, "/policies/" + policy + "/prioritize"});
    out.back().peer = peer && out.back().path == kCompared;
  }
  out.push_back({"all_combined", "/prioritize"});
  out.push_back({"all_combined_filter", "/filter"});
  std::erase_if(out, [&](const Case& one) { return one.name.find(only) == std::string::npos; });
  return out;
}

void append(std::vector<double>& all, const std::vector<double>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

void report_times(std::size_t candidates, Case& one, bench::Report& report) {
  for (const auto& [label, p] : {std::pair{"p50", 0.5}, std::pair{"p99", 0.99}}) {
    bench::Result result{.bench = "extender",
                         .name = fmt::format("{}_{}_{}", one.name, candidates, label),
                         .value = percentile(one.own_ns, p) / 1e3,
                         .unit = "us"};
    if (!one.peer_ns.empty()) {
      result.peer = kPeer;
      result.peer_value = percentile(one.peer_ns, p) / 1e3;
    }
    report.add(result);
  }
}

void measure_times(std::size_t candidates, std::size_t calls, Feed& feed, Ours& ours,
                   const GoExtender* go, std::string_view only, bench::Report& report) {
  Request request(candidates);
  std::vector<Case> all = cases(ours, go != nullptr, only);
  for (std::size_t round = 0; round < kRounds; ++round) {
    Connection connection(ours.port());
    for (Case& one : all) {
      call(connection, one.path, request, kWarm);
      ours.take(kWarm);
      call(connection, one.path, request, calls);
      append(one.own_ns, ours.take(calls));
      if (!one.peer) continue;
      go->load(feed.now());
      Connection other(go->server().port());
      call(other, "/prioritize", request, kWarm);
      go->durations();
      call(other, "/prioritize", request, calls);
      append(one.peer_ns, go->durations());
    }
  }
  if (ours.booked() < bench::kPods / 2) throw std::runtime_error("hardly anything was booked");
  for (Case& one : all) {
    if (one.own_ns.size() != kRounds * calls)
      throw std::runtime_error("not every request was timed");
    report_times(candidates, one, report);
  }
}

/// A server process's requests and CPU time.
struct Account {
  std::size_t requests = 0;
  double cpu_seconds = 0;

  void run(const ServerProcess& server, std::string_view path, const std::string& body) {
    Connection connection(server.port());
    for (std::size_t i = 0; i < kWarm; ++i) connection.post(path, body);
    const double before = server.cpu_seconds();
    const auto until = std::chrono::steady_clock::now() + kCpuRound;
    for (; std::chrono::steady_clock::now() < until; ++requests) connection.post(path, body);
    cpu_seconds += server.cpu_seconds() - before;
  }
  [[nodiscard]] double rate() const { return static_cast<double>(requests) / cpu_seconds; }
};

void measure_cpu(std::size_t candidates, Feed& feed, const ServerProcess& ours,
                 const GoExtender& go, bench::Report& report) {
  Request request(candidates);
  const std::string& body = request.of(0);  // one pod: its own booking is left out of the answer
  go.load(feed.now());
  const std::string answer(Connection(ours.port()).post(kCompared, body));
  if (answer != Connection(go.server().port()).post("/prioritize", body)) {
    throw std::runtime_error("our answer and the Go extender's differ: nothing to compare");
  }
  if (answer.size() < 10 * candidates) throw std::runtime_error("the answer lists too few hosts");
  Account own;
  Account peer;
  for (std::size_t round = 0; round < kRounds; ++round) {
    own.run(ours, kCompared, body);
    go.load(feed.now());
    peer.run(go.server(), "/prioritize", body);
  }
  report.add({.bench = "extender",
              .name = fmt::format("contention_{}_per_cpu_second", candidates),
              .value = own.rate(),
              .unit = "calls",
              .peer = std::string(kPeer),
              .peer_value = peer.rate(),
              .lower_is_better = false});
}

/// What follows --only, "" when it is not there: only policies with that in their name are timed.
std::string_view only_of(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) == "--only") return argv[i + 1];
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) try {
  spdlog::set_level(spdlog::level::err);
  bench::Report report(argc, argv);
  const std::string_view only = only_of(argc, argv);
  Feed feed;
  std::string why;
  const auto go = GoExtender::start(OPTIPOD_GO_PEER, why);
  if (!go) fmt::print(stderr, "bench extender: no peer: {}\n", why);
  {
    Ours ours(feed.url());
    wait_until_it_knows(ours.port());
    measure_times(1000, 200, feed, ours, go.get(), only, report);
    measure_times(5000, 100, feed, ours, go.get(), only, report);
  }
  if (!go || !only.empty()) return 0;
  const ServerProcess ours({OPTIPOD_EXTENDER, "--web.listen-address", "127.0.0.1:0",
                            "--metrics-url", feed.url(), "--kubernetes", "off", "--most-hosts",
                            "100000"});  // the peer lists all
  wait_until_it_knows(ours.port());
  measure_cpu(1000, feed, ours, *go, report);
  measure_cpu(5000, feed, ours, *go, report);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "bench extender: {}\n", error.what());
  return 1;
}
