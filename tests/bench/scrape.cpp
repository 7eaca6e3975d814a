// SPDX-License-Identifier: Apache-2.0
//
// A scrape of a node with 250 containers and every signal: from the segment to the page, beside
// prometheus-cpp's serializer on the same families.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "agent/exporter/collector.hpp"
#include "common/http/origin_client.hpp"
#include "common/http/server.hpp"
#include "tests/agent/exporter/fabricate.hpp"
#include "tests/bench/scrape_peer.hpp"
#include "tests/support/bench.hpp"

namespace optipod::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRounds = 60;

/// Values as large as those of a node that has run for weeks.
shm::Tick busy_tick() {
  using namespace exporter::testing;
  shm::Tick tick = node_tick();
  for (std::uint64_t i = 0; i < 250; ++i) {
    tick.containers.push_back(container("namespace-" + std::to_string(i % 10),
                                        "deployment-7c9f8d6b5-x" + std::to_string(i), "app",
                                        1'000'003 * (i + 1)));
  }
  for (std::uint64_t i = 0; i < 4; ++i) {
    tick.devices.push_back(device("nvme" + std::to_string(i) + "n1", 1'000'003 * (i + 1)));
  }
  return tick;
}

/// Nanoseconds of the fastest of many calls: what it costs when nobody else has the CPU.
template <class Work>
double fastest(const Work& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRounds; ++i) {
    const auto begin = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double, std::nano>(Clock::now() - begin).count());
  }
  return best;
}

std::size_t count_series(const std::string& page) {
  std::size_t series = 0;
  for (std::size_t at = 0; at < page.size(); at = page.find('\n', at) + 1)
    series += page[at] != '#';
  return series;
}

/// Rendering alone, beside the peer's serializer. Zero: the peer had other series than we.
std::size_t compare_rendering(Report& report, const shm::Tick& tick) {
  exporter::Renderer renderer;
  std::string page;
  const double ours = fastest([&] {
    page.clear();
    renderer.render(tick, {}, page);
  });
  const std::size_t series = count_series(page);
  const auto families = as_families(page);
  std::size_t peer_series = 0;
  const double theirs = fastest([&] {
    const std::string text = serialize(families);
    if (peer_series == 0) peer_series = count_series(text);
  });
  if (peer_series != series) return 0;
  const auto count = static_cast<double>(series);
  report.add({.bench = "scrape", .name = "series", .value = count, .unit = "series"});
  report.add({.bench = "scrape",
              .name = "render_a_series",
              .value = ours / count,
              .unit = "ns",
              .peer = "prometheus-cpp serializer",
              .peer_value = theirs / count});
  report.add({.bench = "scrape",
              .name = "render_a_page",
              .value = ours / 1e6,
              .unit = "ms",
              .peer = "prometheus-cpp serializer",
              .peer_value = theirs / 1e6});
  return series;
}

/// A new tick out of the segment, made a page with all that belongs to it by `scrape`. In each,
/// `awake` containers have waited since the last.
template <class Scrape>
double collect_time(shm::TickWriter& agent, shm::Tick& tick, std::size_t awake,
                    const Scrape& scrape) {
  std::string page;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRounds; ++i) {
    for (std::size_t c = 0; c < awake; ++c) ++tick.containers[c].cpu.runqueue_wait.bucket[14];
    agent.publish(tick);
    page.clear();
    const auto begin = Clock::now();
    scrape(page);
    best = std::min(best, std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  return best;
}

/// The same through the server, from the request sent to the last byte read; 0 when it failed.
double http_time(exporter::Collector& collector, shm::TickWriter& agent, shm::Tick& tick) {
  http::Server server;
  server.route("GET", "/metrics", [&](const http::Request&, http::Response& response) {
    collector.scrape({}, response.body);
  });
  if (!server.listen("127.0.0.1:0")) return 0;
  const auto client = http::OriginClient::make("http://127.0.0.1:" + std::to_string(server.port()));
  if (!client) return 0;
  const http::OriginRequest request{.target = "/metrics"};
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRounds; ++i) {
    agent.publish(tick);
    const auto begin = Clock::now();
    const auto reply = (*client)->send(request);
    if (!reply || reply->status != 200) return 0;
    best = std::min(best, std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  return best;
}

bool measure_scrapes(Report& report, const std::string& segment, shm::Tick& tick) {
  auto agent = shm::TickWriter::create({.path = segment, .interval = std::chrono::hours(1)});
  if (!agent) return false;
  agent->publish(tick);
  exporter::Collector collector({.path = segment});
  const auto add = [&report](const char* name, double ms) {
    report.add({.bench = "scrape", .name = name, .value = ms, .unit = "ms"});
  };
  const exporter::View open_metrics{.format = text::Format::kOpenMetrics};
  add("scrape_of_a_new_tick",
      collect_time(*agent, tick, 250, [&](std::string& page) { collector.scrape({}, page); }));
  add("open_metrics", collect_time(*agent, tick, 250, [&](std::string& page) {
        collector.scrape(open_metrics, page);
      }));
  const auto gzip = [&collector](std::string& page) { collector.scrape_gzip({}, page); };
  add("gzip_25_awake", collect_time(*agent, tick, 25, gzip));
  add("gzip_250_awake", collect_time(*agent, tick, 250, gzip));
  add("gzip_nothing_kept", collect_time(*agent, tick, 0, [&](std::string& page) {
        exporter::Collector fresh({.path = segment});
        fresh.scrape_gzip({}, page);
      }));
  const double through_http = http_time(collector, *agent, tick);
  add("over_http", through_http);
  return through_http > 0;
}

int run(int argc, char** argv) {
  spdlog::set_level(spdlog::level::warn);
  Report report(argc, argv);
  shm::Tick tick = busy_tick();
  if (compare_rendering(report, tick) == 0) {
    std::fprintf(stderr, "bench scrape: the peer does not show the same series\n");
    return 1;
  }
  char directory[] = "/dev/shm/optipod-bench-XXXXXX";
  if (::mkdtemp(directory) == nullptr) {
    std::fprintf(stderr, "bench scrape: cannot make a directory in /dev/shm\n");
    return 1;
  }
  const bool measured = measure_scrapes(report, std::string(directory) + "/current.shm", tick);
  std::filesystem::remove_all(directory);
  if (!measured) std::fprintf(stderr, "bench scrape: no page came from the server\n");
  return measured ? 0 : 1;
}

}  // namespace
}  // namespace optipod::bench

int main(int argc, char** argv) {
  return optipod::bench::run(argc, argv);
}
