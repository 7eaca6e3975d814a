// SPDX-License-Identifier: Apache-2.0
#include "aggregator/check_metrics.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "common/app/app.hpp"
#include "common/text/openmetrics.hpp"
#include "common/text/parse.hpp"

namespace optipod::aggregator {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

tl::expected<std::string, std::string> read_all(const std::string& path) {
  const bool standard = path == "-";
  const std::unique_ptr<FILE, int (*)(FILE*)> opened(
      standard ? nullptr : std::fopen(path.c_str(), "rb"), [](FILE* f) { return std::fclose(f); });
  FILE* file = standard ? stdin : opened.get();
  if (file == nullptr) return tl::unexpected(fmt::format("cannot open: {}", std::strerror(errno)));
  std::string text;
  for (;;) {
    constexpr std::size_t kStep = 1 << 16;
    const std::size_t before = text.size();
    text.resize(before + kStep);
    const std::size_t got = std::fread(text.data() + before, 1, kStep, file);
    text.resize(before + got);
    if (text.size() > kMaxBytes) return tl::unexpected(fmt::format("over {} bytes", kMaxBytes));
    if (got < kStep) break;
  }
  if (std::ferror(file) != 0) {
    return tl::unexpected(fmt::format("cannot read: {}", std::strerror(errno)));
  }
  return text;
}

struct Ignore final : text::ParseSink {
  void sample(const text::Sample&) override {}
};

/// "" or why the page is refused, behind its place.
std::string verdict(const std::string& path, bool openmetrics) {
  const std::string name = path == "-" ? "stdin" : path;
  const auto page = read_all(path);
  if (!page) return fmt::format("{}: {}", name, page.error());
  Ignore sink;
  const auto parsed = openmetrics ? text::parse_openmetrics(*page, sink) : text::parse(*page, sink);
  if (parsed) return {};
  const text::ParseError& error = parsed.error();
  return fmt::format("{}:{}:{}: {}", name, error.line, error.column, error.what);
}

}  // namespace

void CheckMetrics::declare(CLI::App& cli) {
  command_ = cli.add_subcommand(
      "check-metrics",
      "Reads pages of metrics and exits 0 when all would be taken, 1 with line, column (in bytes) "
      "and reason when one would not");
  command_->add_flag("--openmetrics", openmetrics_,
                     "OpenMetrics 1.0, strictly, instead of Prometheus' text format");
  command_->add_option("FILE", files_, "Pages; none, or -, is standard input");
}

int CheckMetrics::run() const {
  bool good = true;
  for (const std::string& file : files_.empty() ? std::vector<std::string>{"-"} : files_) {
    const std::string wrong = verdict(file, openmetrics_);
    if (wrong.empty()) continue;
    good = false;
    fmt::print(stderr, "{}\n", wrong);
  }
  return good ? app::kOk : app::kFailure;
}

}  // namespace optipod::aggregator
