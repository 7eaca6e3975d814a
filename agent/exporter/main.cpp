// SPDX-License-Identifier: Apache-2.0
// optipod-exporter: an agent's segment as Prometheus text.
#include <pwd.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/exporter/collector.hpp"
#include "common/app/app.hpp"
#include "common/http/server.hpp"

namespace {

using namespace optipod;

struct Options {
  std::string segment = "/run/optipod/current.shm";
  std::string segment_owner;
  std::string listen_address = ":9000";
  std::string telemetry_path = "/metrics";
};

/// A user's name or number as its number.
std::optional<std::uint32_t> user_id(const std::string& user) {
  std::uint32_t id = 0;
  const char* end = user.data() + user.size();
  if (const auto [last, error] = std::from_chars(user.data(), end, id);
      error == std::errc() && last == end) {
    return id;
  }
  const passwd* entry = getpwnam(user.c_str());
  if (entry == nullptr) return std::nullopt;
  return entry->pw_uid;
}

std::string landing_page(const std::string& telemetry_path) {
  return "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
         "<title>OptiPod exporter</title></head><body><h1>OptiPod exporter</h1>"
         "<p>What this node's containers wait for, as the agent measured it in the kernel.</p>"
         "<ul><li><a href=\"" +
         telemetry_path +
         "\">Metrics</a></li>"
         "<li><a href=\"/healthz\">Health</a></li><li><a href=\"/readyz\">Readiness</a></li></ul>"
         "</body></html>\n";
}

void add_routes(http::Server& server, exporter::Collector& collector, const Options& options) {
  server.route("GET", options.telemetry_path,
               [&collector](const http::Request&, http::Response& response) {
                 response.content_type = text::kContentType;
                 response.gzip = true;
                 collector.scrape(response.body);
               });
  server.route("GET", "/healthz",
               [](const http::Request&, http::Response& response) { response.body = "ok\n"; });
  server.route("GET", "/readyz", [&collector](const http::Request&, http::Response& response) {
    if (collector.ready()) {
      response.body = "ok\n";
    } else {
      response.status = 503;
      response.body = "no tick of an agent was read yet\n";
    }
  });
  server.route("GET", "/",
               [page = landing_page(options.telemetry_path)](const http::Request&,
                                                             http::Response& response) {
                 response.content_type = "text/html; charset=utf-8";
                 response.body = page;
               });
}

int serve(app::Stop& stop, const Options& options) {
  shm::ReaderOptions reader{.path = options.segment, .owner_uid = std::nullopt};
  if (!options.segment_owner.empty()) {
    reader.owner_uid = user_id(options.segment_owner);
    if (!reader.owner_uid) {
      spdlog::error("--segment-owner: no user '{}' on this system; give a name or a number",
                    options.segment_owner);
      return app::kUsage;
    }
  }
  if (options.telemetry_path.size() < 2 || options.telemetry_path.front() != '/' ||
      options.telemetry_path.find_first_of("*?#\"<>& ") != std::string::npos ||
      options.telemetry_path == "/healthz" || options.telemetry_path == "/readyz") {
    spdlog::error("--web.telemetry-path: '{}' cannot serve the metrics; give a path like /metrics",
                  options.telemetry_path);
    return app::kUsage;
  }
  exporter::Collector collector(std::move(reader));
  http::Server server;
  add_routes(server, collector, options);
  if (const auto listening = server.listen(options.listen_address); !listening) {
    spdlog::error("{}", listening.error());
    return app::kFailure;
  }
  spdlog::info("serving {} on port {} from {}", options.telemetry_path, server.port(),
               options.segment);
  collector.ready();  // says in the log what is at the path
  stop.wait();
  server.stop();
  return app::kOk;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const app::Info info{
      "optipod-exporter",
      "Serves what an OptiPod agent publishes in shared memory as Prometheus metrics. Needs no "
      "privilege: it only reads the segment, as a user of the segment's group."};
  const auto declare = [&](CLI::App& cli) {
    cli.add_option("--segment", options.segment, "File the agent publishes in")
        ->capture_default_str();
    cli.add_option("--segment-owner", options.segment_owner,
                   "User (name or number) whose segment is trusted besides root's; default: the "
                   "exporter's own");
    cli.add_option("--web.listen-address", options.listen_address, "Address to serve on, host:port")
        ->envname("OPTIPOD_WEB_LISTEN_ADDRESS")
        ->capture_default_str();
    cli.add_option("--web.telemetry-path", options.telemetry_path, "Path of the metrics")
        ->envname("OPTIPOD_WEB_TELEMETRY_PATH")
        ->capture_default_str();
  };
  return app::run(argc, argv, info, declare, [&](app::Stop& stop) { return serve(stop, options); });
}
