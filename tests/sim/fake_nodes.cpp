// SPDX-License-Identifier: Apache-2.0
//
// fake_nodes: as many exporters as wanted, out of one recorded page. README.md has examples.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "common/app/app.hpp"
#include "common/http/client.hpp"
#include "tests/sim/page.hpp"
#include "tests/sim/server.hpp"

namespace {

using namespace optipod;
using namespace optipod::sim;

struct Options {
  ServerOptions server{.nodes = 100};
  Part part = Part::kAll;
  std::string page = OPTIPOD_SIM_PAGE, file_sd, record, out = "page.txt";
  std::chrono::milliseconds record_for{10'000};
};

tl::expected<std::string, std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  if (!in.is_open() || in.bad()) return tl::unexpected(fmt::format("cannot read {}", path));
  return text;
}

/// Replaces the file at once: a reader sees the old one or the new one.
bool write_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  std::ofstream out(fresh, std::ios::binary);
  out << text;
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(fresh, path, error);
  if (out && !error) return true;
  spdlog::error("cannot write {}", path);
  return false;
}

int record(const Options& options, app::Stop& stop) {
  const auto page = [&] { return http::get(options.record); };
  const auto earlier = page();
  if (!earlier || earlier->status != 200) {
    spdlog::error("{}", earlier ? fmt::format("{}: status {}", options.record, earlier->status)
                                : earlier.error().what);
    return app::kFailure;
  }
  spdlog::info("recording {} for {} ms", options.record, options.record_for.count());
  if (stop.wait_until(std::chrono::steady_clock::now() + options.record_for)) return app::kFailure;
  const auto later = page();
  if (!later || later->status != 200) {
    spdlog::error("{} answered once and then no longer", options.record);
    return app::kFailure;
  }
  const auto made = make_template(earlier->body, later->body,
                                  static_cast<double>(options.record_for.count()) / 1e3);
  if (!made) {
    spdlog::error("{}: {}", options.record, made.error());
    return app::kFailure;
  }
  return write_file(options.out, *made) ? app::kOk : app::kFailure;
}

std::string file_sd(const ServerOptions& options) {
  std::string text = "[";
  for (std::size_t i = 0; i < options.nodes; ++i) {
    text += fmt::format("{}\n{{\"targets\":[\"{}:{}\"],\"labels\":{{\"node\":\"node-{:05}\"}}}}",
                        i == 0 ? "" : ",", address_of(i), options.port, i);
  }
  return text + "\n]\n";
}

int serve(Options& options, app::Stop& stop) {
  NodeClock& clock = options.server.clock;
  clock.begin_ms = unix_ms();
  const auto text = read_file(options.page);
  auto page = text ? Page::parse(*text, options.part, clock.at(clock.begin_ms))
                   : tl::unexpected(text.error());
  if (!page) {
    spdlog::error("--page {}: {}", options.page, page.error());
    return app::kUsage;
  }
  const std::size_t series = page->series(), bytes = page->bytes();
  auto server = Server::listen(options.server, std::move(*page));
  if (!server) {
    spdlog::error("{}", server.error());
    return app::kFailure;
  }
  if (!options.file_sd.empty() && !write_file(options.file_sd, file_sd(options.server))) {
    return app::kFailure;
  }
  std::thread thread([&] { (*server)->run(); });
  spdlog::info("{} nodes of {} series ({} bytes) at {} to {}, port {}", options.server.nodes,
               series, bytes, address_of(0), address_of(options.server.nodes - 1),
               options.server.port);
  stop.wait();
  (*server)->stop();
  thread.join();
  spdlog::info("served {} pages", (*server)->pages());
  return app::kOk;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  return app::run(
      argc, argv,
      {"fake_nodes",
       "Serves the pages of many nodes' exporters, each at a loopback address of its own, out of "
       "one "
       "that was recorded: counters and histograms move as a node's do. To see what a large "
       "cluster "
       "costs whoever scrapes it."},
      [&](CLI::App& cli) {
        cli.add_option("--nodes", options.server.nodes, "How many nodes to be")
            ->check(CLI::Range(std::size_t{1}, kMaxNodes))
            ->capture_default_str();
        cli.add_option("--port", options.server.port, "Port on every node's address")
            ->check(CLI::Range(1, 65'535))
            ->capture_default_str();
        app::add_choice(cli, "--series", options.part,
                        {{"scheduling", Part::kNode}, {"all", Part::kAll}},
                        "scheduling: what /metrics?collect[]=node of the exporter shows, all that "
                        "scheduling reads; all: containers too");
        app::add_duration(cli, "--behind", options.server.clock.behind,
                          "How far in the past the nodes' clocks begin");
        cli.add_option("--speed", options.server.clock.speed,
                       "How many times as fast their clocks run until they are right, so that a "
                       "history of minutes is there after seconds")
            ->check(CLI::Range(1.0, 1000.0))
            ->capture_default_str();
        cli.add_option("--file-sd", options.file_sd,
                       "File to write the targets to, for --file-sd of optipod-aggregator and "
                       "file_sd_configs of Prometheus");
        cli.add_option("--page", options.page, "Recorded page to be made of")->type_name("FILE");
        cli.add_option("--record", options.record,
                       "Record the page of the exporter at this URL and end")
            ->type_name("URL");
        cli.add_option("--out", options.out, "File to write what --record has recorded")
            ->capture_default_str();
        app::add_duration(cli, "--record-for", options.record_for,
                          "Time between the two pages that a recording is made of");
      },
      [&](app::Stop& stop) {
        return options.record.empty() ? serve(options, stop) : record(options, stop);
      });
}
