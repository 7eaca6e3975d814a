// SPDX-License-Identifier: Apache-2.0
// optipod-exporter: an agent's segment as Prometheus text.
#include <pwd.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/exporter/collector.hpp"
#include "agent/exporter/syscall_filter.hpp"
#include "common/app/app.hpp"
#include "common/http/standard_routes.hpp"

namespace {

using namespace optipod;

struct Options {
  std::string segment = "/run/optipod/current.shm";
  std::string segment_owner;
  std::string listen_address = ":9000";
  bool no_seccomp = false;
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
  if (!options.no_seccomp) {  // before there are threads, which inherit it
    if (const auto closed = exporter::forbid_syscalls(); !closed)
      spdlog::warn("no system call filter: {}", closed.error());
  }
  exporter::Collector collector(std::move(reader));
  http::Server server;
  http::add_standard_routes(
      server, {.program = "optipod-exporter",
               .description = "What this node's containers wait for, measured in its kernel.",
               .render_metrics = [&collector](std::string& out) { collector.scrape(out); },
               .readiness =
                   [&collector] {
                     const bool ready = collector.ready();
                     return http::Readiness{ready, ready ? "" : "no tick of an agent was read yet"};
                   },
               .links = {}});
  if (const auto listening = server.listen(options.listen_address); !listening) {
    spdlog::error("{}", listening.error());
    return app::kFailure;
  }
  spdlog::info("serving /metrics on port {}, from {}", server.port(), options.segment);
  collector.ready();  // says in the log what stands at the path
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
  const auto declare = [&options](CLI::App& cli) {
    cli.add_option("--segment", options.segment, "File the agent publishes in")
        ->type_name("FILE")
        ->capture_default_str();
    cli.add_option("--segment-owner", options.segment_owner,
                   "User, by name or number, whose segment is trusted besides root's; default: the "
                   "exporter's own")
        ->type_name("USER");
    cli.add_option("--web.listen-address", options.listen_address,
                   "Address to serve on, HOST:PORT or :PORT")
        ->type_name("ADDRESS")
        ->capture_default_str();
    cli.add_flag("--no-seccomp", options.no_seccomp,
                 "Leave every system call open, should the filter be in the way");
  };
  return app::run(argc, argv, info, declare,
                  [&options](app::Stop& stop) { return serve(stop, options); });
}
