// SPDX-License-Identifier: Apache-2.0
//
// Parsing pages, anew and by their skeleton, beside the parsers of Prometheus and VictoriaMetrics
// on the same pages.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/text/parse.hpp"
#include "common/text/plain_parser.hpp"
#include "common/text/skeleton.hpp"
#include "tests/bench/parse_pages.hpp"
#include "tests/bench/parse_peers.hpp"
#include "tests/support/bench.hpp"

namespace optipod::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// GB/s over a page's scrapes, each by its fastest of many turns: what it costs when nobody else
/// has the CPU. `read` returns whether it could.
template <class Read>
double fastest(const Page& page, const Read& read) {
  std::vector<double> best(page.scrapes.size(), std::numeric_limits<double>::infinity());
  const auto until = Clock::now() + std::chrono::seconds(1);
  do {
    for (std::size_t i = 0; i < best.size(); ++i) {
      const auto begin = Clock::now();
      if (!read(page.scrapes[i])) throw std::runtime_error(page.name + " could not be read");
      const std::chrono::duration<double, std::nano> taken = Clock::now() - begin;
      best[i] = std::min(best[i], taken.count());
    }
  } while (Clock::now() < until);
  double bytes = 0;
  for (const std::string& scrape : page.scrapes) bytes += static_cast<double>(scrape.size());
  return bytes / std::accumulate(best.begin(), best.end(), 0.0);
}

/// Looks at all that it is told, so that nothing is left out.
struct Consume final : text::ParseSink {
  std::size_t labels = 0;
  double sum = 0;
  void sample(const text::Sample& sample) override {
    labels += sample.labels->size();
    sum += sample.value;
  }
};

struct Ours {
  double plain = 0, cold = 0, repeated = 0;  ///< GB/s
  std::size_t samples = 0, skeleton_bytes = 0;
};

Ours measure(const Page& page) {
  Ours ours;
  Consume sink;
  const std::string& first = page.scrapes.front();
  const auto skeleton = text::Skeleton::learn(first, sink);
  if (!skeleton) throw std::runtime_error(page.name + " is not a good page");
  ours.samples = (*skeleton)->samples();
  ours.skeleton_bytes = (*skeleton)->bytes();
  ours.plain =
      fastest(page, [&](const std::string& s) { return text::parse_plain(s, sink).has_value(); });
  ours.cold = fastest(page, [&](const std::string& s) { return text::parse(s, sink).has_value(); });
  std::vector<double> values(ours.samples);
  std::vector<std::int64_t> timestamps(ours.samples);
  ours.repeated = fastest(
      page, [&](const std::string& s) { return (*skeleton)->replay(s, values, timestamps); });
  return ours;
}

void compare(Report& report, const Page& page, const GoParsers& peers) {
  const Ours ours = measure(page);
  const auto add = [&](const std::string& what, double value, const std::string& unit,
                       const std::string& peer = {}, double peer_value = 0) {
    report.add({.bench = "parse",
                .name = page.name + " " + what,
                .value = value,
                .unit = unit,
                .peer = peer,
                .peer_value = peer_value,
                .lower_is_better = false});
  };
  add("samples", static_cast<double>(ours.samples), "samples");
  add("page", static_cast<double>(page.scrapes.front().size()), "B");
  add("skeleton", static_cast<double>(ours.skeleton_bytes), "B");
  const auto speeds = peers.parse(page.scrapes);
  if (speeds.empty()) {
    add("cold", ours.cold, "GB/s");
    add("repeated", ours.repeated, "GB/s");
  }
  for (const auto& [peer, speed] : speeds) {
    if (speed.samples != ours.samples) throw std::runtime_error(peer + " saw other samples");
    add("cold", ours.cold, "GB/s", peer, speed.gigabytes_per_second);
    add("repeated", ours.repeated, "GB/s", peer, speed.gigabytes_per_second);
  }
  add("cold", ours.cold, "GB/s", "our plain parser", ours.plain);
}

int run(int argc, char** argv) {
  try {
    Report report(argc, argv);
    const GoParsers peers(OPTIPOD_GO_PARSE);
    if (!peers.missing().empty()) {
      std::fprintf(stderr, "bench parse: without peers: %s\n", peers.missing().c_str());
    }
    for (const Page& page : parse_pages()) compare(report, page, peers);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench parse: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace optipod::bench

int main(int argc, char** argv) {
  return optipod::bench::run(argc, argv);
}
