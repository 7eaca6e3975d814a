// SPDX-License-Identifier: Apache-2.0
// optipod-exporter: an agent's segment as Prometheus text.
#include <malloc.h>
#include <pwd.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "agent/exporter/collector.hpp"
#include "agent/exporter/list_metrics.hpp"
#include "agent/exporter/syscall_filter.hpp"
#include "common/app/app.hpp"
#include "common/app/web_options.hpp"
#include "common/http/accept.hpp"
#include "common/http/standard_routes.hpp"

namespace {

using namespace optipod;

struct Options {
  std::string segment = "/run/optipod/current.shm";
  std::string segment_owner;
  std::string listen_address = ":9000", web_config;
  std::string list_metrics;
  exporter::Buckets buckets = exporter::Buckets::kFull;
  bool workload_label = false;
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

/// /metrics, or those groups of it that collect[] names.
void serve_page(exporter::Collector& collector, const Options& options,
                const http::Request& request, http::Response& response) {
  const auto selection = exporter::Selection::parse(request.params("collect[]"));
  if (!selection) {
    response.status = 400;
    response.content_type = "text/plain; charset=utf-8";
    response.body = selection.error() + "\n";
    return;
  }
  const text::Format format = http::accepted_format(request.header("Accept"));
  if (format == text::Format::kOpenMetrics) response.content_type = text::kOpenMetricsContentType;
  if (format == text::Format::kProtobuf) response.content_type = text::kProtobufContentType;
  response.headers.emplace_back("Vary", "Accept");
  const exporter::View view{.format = format,
                            .selection = *selection,
                            .buckets = options.buckets,
                            .workload = options.workload_label};
  if (format != text::Format::kProtobuf && http::accepts_gzip(request.header("Accept-Encoding"))) {
    response.gzipped = collector.scrape_gzip(view, response.body);
    if (response.gzipped) return;
    response.body.clear();
  }
  collector.scrape(view, response.body);
}

/// A page of text is large, and rare where scrapers take gzip: its memory goes back at once. What
/// the C library does by itself is to keep as much from the first one on.
void keep_no_pages() {
  constexpr int kLarge = 1024 * 1024;
  mallopt(M_MMAP_THRESHOLD, kLarge);
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
  keep_no_pages();
  exporter::Collector collector(std::move(reader));
  http::Server server;
  http::add_standard_routes(
      server, {.program = "optipod-exporter",
               .description = "What this node's containers wait for, measured in its kernel.",
               .render_metrics = {},
               .serve_metrics =
                   [&collector, &options](const http::Request& request, http::Response& response) {
                     serve_page(collector, options, request, response);
                   },
               .readiness =
                   [&collector] {
                     const bool ready = collector.ready();
                     return http::Readiness{ready, ready ? "" : "no tick of an agent was read yet"};
                   },
               .links = {}});
  if (const auto listening = server.listen(options.listen_address, options.web_config);
      !listening) {
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
    app::add_web_options(cli, options.listen_address, options.web_config);
    app::add_choice(cli, "--histogram-buckets", options.buckets,
                    {{"full", exporter::Buckets::kFull}, {"compact", exporter::Buckets::kCompact}},
                    "Bounds of histograms: full: 21, each twice the one before; compact: 10, each "
                    "four times it. Native histograms have all in either case");
    cli.add_flag("--workload-label", options.workload_label,
                 "Series of containers have a label workload: the name of what made the pod, taken "
                 "from the pod's own");
    cli.add_option("--list-metrics", options.list_metrics,
                   "Print every metric that is served, as tables, and end")
        ->type_name("markdown")
        ->check(CLI::IsMember({"markdown"}));
    cli.add_flag("--no-seccomp", options.no_seccomp,
                 "Leave every system call open, should the filter be in the way");
  };
  return app::run(argc, argv, info, declare, [&options](app::Stop& stop) -> int {
    if (options.list_metrics.empty()) return serve(stop, options);
    const bool said = std::fputs(exporter::metrics_as_markdown().c_str(), stdout) >= 0;
    return said ? app::kOk : app::kFailure;
  });
}
