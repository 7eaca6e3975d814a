// SPDX-License-Identifier: Apache-2.0
#include "aggregator/scrape.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "aggregator/derived_series.hpp"
#include "aggregator/federate.hpp"
#include "aggregator/self.hpp"
#include "aggregator/store.hpp"
#include "common/http/gzip.hpp"
#include "tests/aggregator/raw_server.hpp"
#include "tests/aggregator/support.hpp"

using namespace optipod;
using namespace optipod::aggregator;
using namespace std::chrono_literals;

namespace {

using Connection = RawServer::Connection;

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// An exporter's page, measured now, with half of one CPU in use.
std::string good_page() {
  static const std::int64_t kStart = unix_ms();
  const double now = static_cast<double>(unix_ms()) / 1e3;
  return fmt::format(
      "optipod_agent_up 1\noptipod_sample_timestamp_seconds {:.3f}\noptipod_node_cpus 1\n"
      "optipod_node_cpu_usage_seconds_total {:.6f}\n",
      now, (now - static_cast<double>(kStart) / 1e3) / 2);
}

void serve_good(Connection& c) {
  while (c.request() && c.reply(good_page())) {
  }
}

/// Every request gets this body.
RawServer::Serve always(std::string body, std::string type = "text/plain",
                        std::string status = "200 OK") {
  return [=](Connection& c) {
    while (c.request() && c.reply(body, type, status)) {
    }
  };
}

struct Cluster {
  Store store;
  Self self;
  Scraper scraper;

  explicit Cluster(ScrapeOptions options) : scraper(options, store, self) {
    // As in the programs, the logger exists before any thread logs. ThreadSanitizer, to which the
    // library's static initialisation is invisible, else takes its first use for a race.
    spdlog::default_logger_raw();
  }

  std::shared_ptr<const TargetView> view(const std::string& node) const {
    for (const auto& view : store.views()) {
      if (view->target->node == node) return view;
    }
    return nullptr;
  }
  std::string federated(const char* match) const {
    std::string out;
    const std::vector<Selector> selectors{*Selector::parse(match)};
    federate(store.views(), selectors, unix_ms(), {}, out);
    return out;
  }
  std::string metrics() {
    std::string out;
    self.render(store.views(), out);
    return out;
  }
};

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(20ms);
  }
  return false;
}

Target target_of(const std::string& node, const std::string& address) {
  auto target = parse_target(node + "=" + address);
  REQUIRE(target.has_value());
  return *target;
}

}  // namespace

TEST_CASE("hostile targets cost only themselves") {
  struct Hostile {
    RawServer::Serve serve;
    const char* error;  // part of the message, in one of several wordings
    const char* or_error = nullptr;
  };
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
  const std::map<std::string, Hostile> hostile{
      {"silent",
       {[](Connection& c) {
          while (c.pause()) {
          }
        },
        "no complete answer"}},
      {"slow",
       {[head](Connection& c) {
          bool on = c.request() && c.send(head + "\r\n");
          while (on) on = c.send("a") && c.pause();
        },
        "no complete answer"}},
      {"endless",
       {[head](Connection& c) {
          const std::string piece(64 * 1024, 'x');
          bool on = c.request() && c.send(head + "\r\n");
          while (on) on = c.send(piece);
        },
        "longer than", "no complete answer"}},
      {"endless_chunks",
       {[head](Connection& c) {
          const std::string piece = "8000\r\n" + std::string(0x8000, '\n') + "\r\n";
          bool on = c.request() && c.send(head + "Transfer-Encoding: chunked\r\n\r\n");
          while (on) on = c.send(piece);
        },
        "longer than", "no complete answer"}},
      {"endless_head",
       {[](Connection& c) {
          bool on = c.request() && c.send("HTTP/1.1 200 OK\r\n");
          while (on) on = c.send("X-Header: more and more of it\r\n");
        },
        "longer than"}},
      {"announces_much",
       {[head](Connection& c) {
          if (c.request()) c.send(head + "Content-Length: 10000000000\r\n\r\n");
        },
        "longer than"}},
      {"garbage",
       {[](Connection& c) {
          if (c.request()) c.send("\x16\x03\x01 this is not HTTP \xff\xfe\r\n\r\n");
        },
        "malformed", "closed"}},
      {"reset",
       {[](Connection& c) {
          c.request();
          c.reset();
        },
        "reset", "closed"}},
      {"cut",
       {[head](Connection& c) {
          if (c.request()) c.send(head + "Content-Length: 100\r\n\r\na 1\n");
        },
        "closed"}},
      {"status", {always("a 1\n", "text/plain", "503 Service Unavailable"), "status 503"}},
      {"type", {always("<html>", "text/html"), "Content-Type \"text/html\""}},
      {"no_type", {always("a 1\n", ""), "Content-Type"}},
      {"openmetrics",
       {always("a 1\n", "application/openmetrics-text; version=1.0.0"), "end in \"# EOF\""}},
      {"as_openmetrics", {always("# EOF\na 1\n", "application/openmetrics-text"), "behind"}},
      {"syntax", {always("a 1\nb{ 2\n"), "line 2"}},
      {"binary", {always(std::string("a\0b", 3)), "line 1"}},
      {"long_line", {always(std::string(900'000, 'x')), "line 1", "at most"}},
      {"long_label", {always("a{b=\"" + std::string(900'000, 'x') + "\"} 1\n"), "at most"}},
      {"many",
       {always([] {
          std::string body;
          for (int i = 0; i < 2000; ++i) body += fmt::format("a{} 1\n", i);
          return body;
        }()),
        "more than 1000 samples"}}};

  std::vector<std::unique_ptr<RawServer>> servers;
  std::vector<Target> targets;
  const auto add = [&](const std::string& node, RawServer::Serve serve) {
    servers.push_back(std::make_unique<RawServer>(std::move(serve)));
    targets.push_back(target_of(node, servers.back()->address()));
  };
  for (const auto& [node, peer] : hostile) add(node, peer.serve);
  add("healthy", serve_good);
  add("no_newline", always("a 1\nb 2"));
  add("open",
      always("a 1\nb 2 5\n# EOF", "Application/OpenMetrics-Text; version=1.0.0; charset=x"));
  targets.push_back(target_of("nobody", "127.0.0.1:1"));

  Cluster cluster({.interval = 400ms,
                   .timeout = 350ms,
                   .max_backoff = 0ms,
                   .max_body_bytes = 1024 * 1024,
                   .limits = {.max_samples = 1000}});
  cluster.scraper.set_targets(share(targets));
  CHECK(eventually([&] {
    const auto healthy = cluster.view("healthy");
    return cluster.scraper.swept() && healthy && healthy->scrapes - healthy->failures >= 5 &&
           healthy->up && figures_of(healthy->derived).w15s.cpu_utilization;
  }));
  CHECK(*figures_of(cluster.view("healthy")->derived).w15s.cpu_utilization ==
        Approx(0.5).margin(0.02));
  for (const char* good : {"no_newline", "open"}) {
    CHECK(eventually([&] { return cluster.view(good)->samples == 2; }));
  }

  for (const auto& [node, peer] : hostile) {
    const auto view = cluster.view(node);
    REQUIRE(view != nullptr);
    INFO(node << ": " << view->error);
    CHECK_FALSE(view->up);
    CHECK(view->scraped.values.empty());
    // A busy machine may miss the deadline instead; then the next scrape says what is expected.
    CHECK(eventually([&] {
      const std::string error = cluster.view(node)->error;
      return error.find(peer.error) != std::string::npos ||
             (peer.or_error != nullptr && error.find(peer.or_error) != std::string::npos);
    }));
    CHECK(cluster.federated("up").find(fmt::format("node=\"{}\"}} 0 ", node)) != std::string::npos);
  }
  CHECK_FALSE(cluster.view("nobody")->up);
  CHECK(cluster.federated("{node=\"syntax\",__name__!~\"up|scrape_.*|optipod:.*\"}").empty());

  const std::string metrics = cluster.metrics();
  for (const char* result :
       {"ok", "connection", "timeout", "status", "content_type", "too_large", "syntax", "limit"}) {
    INFO(result);
    const std::string zero =
        fmt::format("optipod_aggregator_scrapes_total{{result=\"{}\"}} 0\n", result);
    CHECK(metrics.find(fmt::format("optipod_aggregator_scrapes_total{{result=\"{}\"}}", result)) !=
          std::string::npos);
    CHECK(metrics.find(zero) == std::string::npos);
  }
}

TEST_CASE("a series shown twice is served once, counted, and the target is up") {
  RawServer server(always("a 1\nb 5\na 2\na 3\n"));
  Cluster cluster({.interval = 50ms, .timeout = 45ms});
  cluster.scraper.set_targets(share({target_of("n1", server.address())}));
  REQUIRE(eventually([&] { return cluster.view("n1") && cluster.view("n1")->scrapes >= 3; }));
  CHECK(cluster.view("n1")->up);
  CHECK(cluster.federated("a").find("} 1 ") != std::string::npos);
  for (const char* name : {"scrape_samples_scraped", "scrape_samples_post_metric_relabeling"}) {
    CHECK(cluster.federated(name).find("} 4 ") != std::string::npos);
  }
  const auto value = [&](const std::string& name) {
    const std::string page = cluster.metrics();
    const auto at = page.find("\n" + name + " ");
    REQUIRE(at != std::string::npos);
    return std::stod(page.substr(at + name.size() + 2));
  };
  CHECK(eventually([&] {
    const double repeated = value("optipod_aggregator_samples_repeated_total");
    return repeated >= 6 && repeated * 2 == value("optipod_aggregator_samples_total");
  }));
}

TEST_CASE("a failed scrape makes the node's series stale at once; its view keeps its true age") {
  std::atomic<bool> broken = false;
  RawServer server([&](Connection& c) {
    while (c.request() && c.reply(broken ? "not { exposition" : good_page())) {
    }
  });
  Cluster cluster({.interval = 50ms, .timeout = 45ms});
  cluster.scraper.set_targets(share({target_of("n1", server.address())}));
  REQUIRE(eventually([&] {
    return !cluster.federated("optipod:node_cpu_utilization:mean_15s").empty() &&
           !cluster.federated("optipod_node_cpus").empty();
  }));
  CHECK(cluster.federated("up").find("} 1 ") != std::string::npos);
  CHECK(cluster.federated("optipod:node_up:last").find("} 1 ") != std::string::npos);

  broken = true;
  REQUIRE(eventually([&] { return cluster.federated("optipod_node_cpus").empty(); }));
  const auto down = cluster.view("n1");
  CHECK_FALSE(down->up);
  CHECK(cluster.federated("up").find("} 0 ") != std::string::npos);
  CHECK(cluster.federated("optipod:node_up:last").find("} 0 ") != std::string::npos);
  CHECK(cluster.federated("scrape_samples_scraped").find("} 0 ") != std::string::npos);
  CHECK(down->derived.measured_ms == down->measured_ms);
  CHECK(down->measured_ms < down->scraped_ms);
  const std::string stamp = " " + std::to_string(down->measured_ms) + "\n";
  CHECK(cluster.federated("optipod:node_cpu_utilization:mean_15s").find(stamp) !=
        std::string::npos);

  broken = false;
  CHECK(eventually([&] { return !cluster.federated("optipod_node_cpus").empty(); }));
}

TEST_CASE("an agent that is gone: the exporter is up, the node is not") {
  RawServer server(always("optipod_agent_up 0\noptipod_sample_timestamp_seconds 5\n"));
  Cluster cluster({.interval = 50ms, .timeout = 45ms});
  cluster.scraper.set_targets(share({target_of("n1", server.address())}));
  REQUIRE(eventually([&] { return cluster.view("n1") && cluster.view("n1")->up; }));
  CHECK_FALSE(cluster.view("n1")->agent_up);
  CHECK(cluster.federated("up").find("} 1 ") != std::string::npos);
  CHECK(cluster.federated("optipod:node_up:last").find("} 0 ") != std::string::npos);
  CHECK(cluster.federated("{__name__=~\"optipod:node_.*\",__name__!=\"optipod:node_up:last\"}")
            .empty());
}

TEST_CASE("targets that go vanish; those that stay keep their history") {
  RawServer one(serve_good), two(serve_good);
  RawServer silent([](Connection& c) {
    while (c.pause()) {
    }
  });
  Cluster cluster({.interval = 50ms, .timeout = 45ms});
  const Target first = target_of("n1", one.address()), second = target_of("n2", two.address()),
               third = target_of("n3", silent.address());
  cluster.scraper.set_targets(share({first, second, third}));
  REQUIRE(eventually([&] {
    return cluster.scraper.swept() && cluster.view("n1")->scrapes > 3 && cluster.view("n2")->up;
  }));
  const auto scrapes = cluster.view("n1")->scrapes;
  cluster.scraper.set_targets(share({first}));
  CHECK(cluster.store.views().size() == 1);
  REQUIRE(eventually([&] { return cluster.view("n1")->scrapes > scrapes + 3; }));
  CHECK(cluster.store.views().size() == 1);  // what was under way did not come back
  CHECK(cluster.federated("up{node=\"n2\"}").empty());

  cluster.scraper.set_targets(share({target_of("n1", two.address())}));  // the node moved
  REQUIRE(eventually([&] {
    const auto view = cluster.view("n1");
    return view && view->up && view->target->address == two.address();
  }));
  cluster.scraper.set_targets(share({}));
  CHECK(cluster.store.views().empty());
  CHECK(cluster.scraper.swept());
}

TEST_CASE("it ends while scrapes are under way") {
  RawServer silent([](Connection& c) {
    while (c.pause()) {
    }
  });
  for (int i = 0; i < 5; ++i) {
    Cluster cluster({.interval = 60s, .timeout = 59s});
    std::vector<Target> targets;
    targets.reserve(50);
    for (int k = 0; k < 50; ++k)
      targets.push_back(target_of(fmt::format("n{}", k), silent.address()));
    cluster.scraper.set_targets(share(targets));
    std::this_thread::sleep_for(20ms);
    CHECK_FALSE(cluster.scraper.swept());
  }
}

namespace {
double count_of(Cluster& cluster, const std::string& series) {
  const std::string page = cluster.metrics();
  const auto at = page.find("\n" + series + " ");
  return at == std::string::npos ? -1 : std::stod(page.substr(at + series.size() + 2));
}
}  // namespace

TEST_CASE("a target that keeps failing is asked less often, until it answers; others are not") {
  std::atomic<bool> works = false;
  std::atomic<int> asked = 0;
  RawServer flaky([&](Connection& c) {
    while (c.request()) {
      ++asked;
      if (!c.reply(good_page(), "text/plain", works ? "200 OK" : "500 Broken")) return;
    }
  });
  RawServer good(serve_good);
  Cluster cluster({.interval = 20ms, .timeout = 19ms, .max_backoff = 400ms});
  cluster.scraper.set_targets(
      share({target_of("flaky", flaky.address()), target_of("good", good.address())}));
  REQUIRE(eventually([&] {
    return count_of(cluster, "optipod_aggregator_scrapes_backed_off_total") > 50 &&
           cluster.view("good") && cluster.view("good")->scrapes > 60;
  }));
  // Of more than 50 intervals that were left out, most belong to pauses of 10 to 19.
  CHECK(cluster.view("flaky")->scrapes < cluster.view("good")->scrapes / 2);
  CHECK(static_cast<std::uint64_t>(asked) <= cluster.view("flaky")->scrapes + 2);

  works = true;
  REQUIRE(eventually([&] { return cluster.view("flaky")->up; }));
  const double left_out = count_of(cluster, "optipod_aggregator_scrapes_backed_off_total");
  const auto scrapes = cluster.view("flaky")->scrapes;
  REQUIRE(eventually([&] { return cluster.view("flaky")->scrapes > scrapes + 10; }));
  CHECK(count_of(cluster, "optipod_aggregator_scrapes_backed_off_total") == left_out);
}

TEST_CASE("more targets than the limit: all of them have failed, and none was asked") {
  std::atomic<int> asked = 0;
  RawServer server([&](Connection& c) {
    while (c.request()) {
      ++asked;
      if (!c.reply(good_page())) return;
    }
  });
  Cluster cluster({.interval = 50ms, .timeout = 45ms, .target_limit = 1});
  cluster.scraper.set_targets(
      share({target_of("a", server.address()), target_of("b", server.address())}));
  REQUIRE(eventually([&] { return cluster.scraper.swept(); }));
  CHECK_FALSE(cluster.view("a")->up);
  CHECK(cluster.view("b")->error.find("target limit, 1") != std::string::npos);
  CHECK(asked == 0);
  CHECK(count_of(cluster, "optipod_aggregator_scrapes_total{result=\"limit\"}") >= 2);
  CHECK(count_of(cluster, "optipod_aggregator_scrapes_total{result=\"connection\"}") == 0);
  cluster.scraper.set_targets(share({target_of("a", server.address())}));
  CHECK(eventually([&] { return cluster.view("a") && cluster.view("a")->up; }));
}

TEST_CASE("a target's own interval and timeout count; its limits are those of all") {
  RawServer good(serve_good);
  RawServer silent([](Connection& c) {
    while (c.pause()) {
    }
  });
  RawServer labels(always("a{b=\"c\",d=\"e\"} 1\n"));
  Target often = target_of("often", good.address());
  often.interval = 20ms;
  Target slow = target_of("slow", silent.address());
  slow.timeout = 30ms;
  // Its two, instance, job and node, and __name__.
  Cluster cluster(
      {.interval = 60s, .timeout = 59s, .limits = {.max_labels = 5}, .extra_metrics = true});
  Target narrow = target_of("narrow", labels.address());
  narrow.interval = often.interval;
  slow.interval = 100ms;
  cluster.scraper.set_targets(share({often, slow, narrow}));
  REQUIRE(eventually([&] {
    const auto view = cluster.view("often");
    return view && view->scrapes > 5 && view->up && cluster.view("slow") && cluster.view("narrow");
  }));
  CHECK(cluster.view("slow")->error.find("no complete answer in 30 ms") != std::string::npos);
  CHECK(cluster.view("narrow")->error.find("more than 5 labels") != std::string::npos);
  CHECK(cluster.federated("scrape_timeout_seconds{node=\"slow\"}").find("} 0.03 ") !=
        std::string::npos);
  CHECK(cluster.federated("scrape_timeout_seconds{node=\"often\"}").find("} 0.02 ") !=
        std::string::npos);
  CHECK(cluster.federated("scrape_body_size_bytes{node=\"narrow\"}").find("} 17 ") !=
        std::string::npos);
}

TEST_CASE("compressed answers count by what they decompress to") {
  const auto zipped = [](const std::string& plain) {
    std::string out;
    REQUIRE(http::gzip_compress(plain, out));
    return [out](Connection& c) {
      while (c.request() &&
             c.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n"
                    "Content-Length: " +
                    std::to_string(out.size()) + "\r\n\r\n" + out)) {
      }
    };
  };
  RawServer small(zipped("a 1\nb 2\n")), bomb(zipped("a 1\n" + std::string(64 << 20, '\n')));
  Cluster cluster({.interval = 400ms, .timeout = 390ms, .max_body_bytes = 1 << 20, .gzip = true});
  cluster.scraper.set_targets(
      share({target_of("small", small.address()), target_of("bomb", bomb.address())}));
  REQUIRE(eventually([&] { return cluster.view("small") && cluster.view("small")->up; }));
  CHECK(cluster.view("small")->samples == 2);
  REQUIRE(eventually([&] {
    return cluster.view("bomb") &&
           cluster.view("bomb")->error.find("decompresses to more than") != std::string::npos;
  }));
}
