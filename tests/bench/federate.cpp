// SPDX-License-Identifier: Apache-2.0
//
// /federate over HTTP: the scheduling view of 5,000 nodes, 100,000 and 1,000,000 series, beside
// Debian's Prometheus that holds the same series; and what a held series takes.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include "aggregator/derived_series.hpp"
#include "aggregator/parse.hpp"
#include "aggregator/web.hpp"
#include "common/http/client.hpp"
#include "common/http/server.hpp"
#include "tests/bench/extender_peer.hpp"
#include "tests/support/bench.hpp"

namespace optipod::bench {
namespace {

using namespace aggregator;
using Clock = std::chrono::steady_clock;
constexpr std::size_t kNodes = 5'000;
constexpr std::size_t kSeriesPerNode = 200;

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// Seconds of CPU that this thread took.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::size_t resident_bytes() {
  std::size_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// Fractions and counts as nodes show them, different for each node and series.
double some_value(std::size_t node, std::size_t series) {
  const std::size_t mixed = (node * 2654435761U + series * 40503U) % 10'000'019U;
  return series % 3 == 0 ? static_cast<double>(mixed) : static_cast<double>(mixed) / 1e7;
}

std::string page(std::size_t node) {
  std::string out;
  for (std::size_t i = 0; i < kSeriesPerNode; ++i) {
    fmt::format_to(std::back_inserter(out),
                   "bench_metric_{}_seconds_total{{cpu=\"{}\",mode=\"some\"}} {}\n", i / 8, i % 8,
                   some_value(node, i));
  }
  return out;
}

/// An aggregator that has just scraped everything.
class Site {
 public:
  Site() {
    add_routes(server_, {store_, self_, pushed_, *query_, options_, [] { return true; }});
    if (!server_.listen("127.0.0.1:0")) throw std::runtime_error("no port to listen on");
  }
  ~Site() { server_.stop(); }
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  /// All that holds the series, as the aggregator has it. Returns bytes of memory a series.
  double scrape(std::size_t series) {
    malloc_trim(0);
    const std::size_t before = resident_bytes();
    const std::size_t nodes = series / kSeriesPerNode;
    for (std::size_t n = 0; n < nodes; ++n) {
      const std::string name = fmt::format("node-{:05}", n);
      auto view = std::make_shared<TargetView>();
      view->target = std::make_shared<const Target>(parse_target(name + "=10.0.0.1:9000").value());
      parsers_.emplace_back(view->target->labels, ParseLimits{}, pages_);
      for (int scrape = 0; scrape < 2; ++scrape) {  // the second finds the first one's schema
        view->scraped = parsers_.back().parse(page(n), unix_ms(), unix_ms()).value();
      }
      store_.publish(std::move(view));
    }
    malloc_trim(0);
    return static_cast<double>(resident_bytes() - before) / static_cast<double>(series);
  }

  /// The scheduling view of all nodes.
  void derive() {
    for (std::size_t n = 0; n < kNodes; ++n) {
      const std::string name = fmt::format("node-{:05}", n);
      auto view = std::make_shared<TargetView>();
      view->target = std::make_shared<const Target>(parse_target(name + "=10.0.0.1:9000").value());
      view->derived = DerivedSeries(name).make({}, true, unix_ms(), unix_ms());
      std::vector<double> values(view->derived.size());
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = some_value(n, i);
      view->derived.max_age_ms = {};
      view->derived.packed = pack(values);
      store_.publish(std::move(view));
    }
  }

  /// Milliseconds of CPU that the body takes, without sending it; of the fastest of a few.
  [[nodiscard]] double render_ms(const std::string& match) const {
    const std::vector<Selector> selectors{Selector::parse(match).value()};
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 7; ++i) {
      const double begin = thread_seconds();
      FederateBody body(store_.views(), {}, selectors, unix_ms(), options_);
      std::string piece;
      while (body.next(piece)) piece.clear();
      best = std::min(best, (thread_seconds() - begin) * 1e3);
    }
    return best;
  }

  [[nodiscard]] std::uint16_t port() const { return server_.port(); }

 private:
  Store store_;
  Self self_;
  Pushed pushed_;
  std::unique_ptr<QueryProxy> query_ = QueryProxy::make("").value();
  FederateOptions options_{.lookback_ms = 3'600'000};
  http::Server server_{{}, 2};
  std::shared_ptr<SharedPages> pages_ = std::make_shared<SharedPages>();
  std::vector<BodyParser> parsers_;
};

std::size_t count_series(const std::string& page) {
  std::size_t series = 0;
  for (std::size_t at = 0; at < page.size(); at = page.find('\n', at) + 1)
    series += page[at] != '#';
  return series;
}

std::string url_of(std::uint16_t port, const std::string& match) {
  return fmt::format("http://127.0.0.1:{}/federate?match[]={}", port, match);
}

/// Milliseconds from asking to the last byte, of the fastest of a few; the bytes are dropped.
double ask(std::uint16_t port, const std::string& match, int rounds) {
  const std::string request = fmt::format(
      "GET /federate?match[]={} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", match);
  std::vector<char> buffer(1U << 20);
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < rounds; ++i) {
    const auto begin = Clock::now();
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ssize_t n = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (n == 0) n = send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    std::string head;
    while (n > 0) {
      n = recv(fd, buffer.data(), buffer.size(), 0);
      if (head.empty() && n > 0)
        head.assign(buffer.data(), static_cast<std::size_t>(std::min<ssize_t>(12, n)));
    }
    close(fd);
    if (n != 0 || head != "HTTP/1.1 200") {
      throw std::runtime_error(fmt::format("{} broke off", url_of(port, match)));
    }
    best = std::min(best, std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  return best;
}

std::uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    throw std::runtime_error("no free port");
  }
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

/// Debian's Prometheus, which has scraped what `port` federates.
class Prometheus {
 public:
  Prometheus(std::uint16_t port, const std::string& match) {
    std::string made = (std::filesystem::temp_directory_path() / "optipod-bench-XXXXXX").string();
    if (mkdtemp(made.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = made;
    std::ofstream(made + "/prometheus.yml") << fmt::format(
        "global: {{scrape_interval: 20s, scrape_timeout: 20s}}\n"
        "scrape_configs:\n- job_name: bench\n  honor_labels: true\n  honor_timestamps: false\n"
        "  metrics_path: /federate\n  params: {{'match[]': ['{}']}}\n"
        "  static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        match, port);
    server_ = std::make_unique<ServerProcess>(std::vector<std::string>{
        "/bin/sh", "-c",
        fmt::format("echo port {0}; exec prometheus --config.file={1}/prometheus.yml "
                    "--storage.tsdb.path={1}/data --web.listen-address=127.0.0.1:{0} "
                    ">{1}/log 2>&1",
                    free_port(), made)});
  }
  ~Prometheus() {
    server_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  Prometheus(const Prometheus&) = delete;
  Prometheus& operator=(const Prometheus&) = delete;

  /// Waits until it has that many series; throws when it never does.
  [[nodiscard]] double federate(const std::string& match, std::size_t series) const {
    for (int tries = 0; tries < 60; ++tries) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
      const auto up = http::get(server_->url("/api/v1/query?query=scrape_samples_scraped"));
      if (up && up->body.find(fmt::format("\"{}\"", series)) != std::string::npos) {
        return ask(server_->port(), match, 3);
      }
    }
    throw std::runtime_error("Prometheus did not scrape the series");
  }

 private:
  std::filesystem::path directory_;
  std::unique_ptr<ServerProcess> server_;
};

void measure(Report& report, const char* name, Site& site, const std::string& match,
             const std::string& encoded, bool peer) {
  const auto page = http::get(url_of(site.port(), encoded),
                              {.timeout = std::chrono::minutes(3), .max_body_bytes = 1U << 30});
  if (!page) throw std::runtime_error(page.error().what);
  const std::size_t series = count_series(page->body);
  Result result{.bench = "federate",
                .name = fmt::format("{}, {} series", name, series),
                .value = ask(site.port(), encoded, 7),
                .unit = "ms",
                .peer = {}};
  if (peer && std::filesystem::exists("/usr/bin/prometheus")) {
    result.peer = "Debian's Prometheus";
    result.peer_value = Prometheus(site.port(), match).federate(encoded, series);
  }
  report.add(result);
  result.name = fmt::format("{}, making the body", name);
  result.value = site.render_ms(match);
  result.unit = "ms CPU";
  result.peer.clear();
  report.add(result);
}

int run(int argc, char** argv) {
  Report report(argc, argv);
  {
    Site site;
    site.derive();
    measure(report, "5,000 nodes, utilizations", site,
            "{__name__=~\"optipod:node_.*_utilization:mean_1m\"}",
            "%7B__name__%3D~%22optipod:node_.*_utilization:mean_1m%22%7D", true);
    measure(report, "5,000 nodes, whole view", site, "{__name__=~\"optipod:node_.*\"}",
            "%7B__name__%3D~%22optipod:node_.*%22%7D", false);
  }
  for (const std::size_t series : {std::size_t{100'000}, kNodes * kSeriesPerNode}) {
    Site site;
    const double bytes = site.scrape(series);
    report.add({.bench = "federate",
                .name = fmt::format("memory, {} series", series),
                .value = bytes,
                .unit = "B/series",
                .peer = {}});
    measure(report, "node series", site, "{job=\"optipod\"}", "%7Bjob%3D%22optipod%22%7D",
            series == 100'000);
  }
  return 0;
}

}  // namespace
}  // namespace optipod::bench

int main(int argc, char** argv) {
  try {
    return optipod::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench federate: %s\n", error.what());
    return 1;
  }
}
