// SPDX-License-Identifier: Apache-2.0
#include "common/text/self_metrics.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/text/exposition.hpp"
#include "config.h"

namespace optipod::text {
namespace {

std::optional<std::string> read_file(const char* path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// Field `wanted` of /proc/<pid>/stat, numbered as proc(5) does, from 3 on: behind the program's
/// name, which may hold blanks and parentheses.
std::optional<std::uint64_t> stat_field(std::string_view stat, int wanted) {
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  std::string_view rest = stat.substr(name_end + 1);
  for (int field = 3;; ++field) {
    const std::size_t start = rest.find_first_not_of(" \n");
    if (start == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(start);
    const std::size_t length = std::min(rest.find_first_of(" \n"), rest.size());
    if (field == wanted) {
      std::uint64_t value = 0;
      if (std::from_chars(rest.data(), rest.data() + length, value).ec != std::errc()) {
        return std::nullopt;
      }
      return value;
    }
    rest.remove_prefix(length);
  }
}

/// Seconds since the epoch at which the machine started, from /proc/stat.
std::optional<double> boot_time() {
  const auto stat = read_file("/proc/stat");
  if (!stat) return std::nullopt;
  constexpr std::string_view kKey = "\nbtime ";
  const std::size_t at = stat->find(kKey);
  if (at == std::string::npos) return std::nullopt;
  std::uint64_t value = 0;
  const char* start = stat->data() + at + kKey.size();
  if (std::from_chars(start, stat->data() + stat->size(), value).ec != std::errc()) {
    return std::nullopt;
  }
  return static_cast<double>(value);
}

std::optional<std::uint64_t> count_open_files() {
  std::error_code error;
  std::uint64_t count = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end;
       it.increment(error)) {
    ++count;
  }
  if (error || count == 0) return std::nullopt;
  return count - 1;  // the directory itself was open while counting
}

/// One family's text under its name, so that all of them can be sorted.
using Pages = std::vector<std::pair<std::string, std::string>>;

template <typename Value>
void add_single(Pages& pages, std::string_view name, MetricType type, std::string_view help,
                const std::optional<Value>& value) {
  if (!value) return;  // what the machine does not tell is absent
  std::string text;
  ExpositionWriter writer(text);
  writer.family(name, type, help);
  writer.sample({}, *value);
  pages.emplace_back(name, std::move(text));
}

void add_process(Pages& pages) {
  const auto stat = read_file("/proc/self/stat");
  const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  std::optional<double> cpu;
  std::optional<double> start;
  std::optional<std::uint64_t> virtual_bytes;
  std::optional<std::uint64_t> resident;
  if (stat) {
    const auto user = stat_field(*stat, 14);
    const auto system = stat_field(*stat, 15);
    if (user && system) cpu = static_cast<double>(*user + *system) / ticks_per_second;
    const auto started = stat_field(*stat, 22);
    const auto boot = boot_time();
    if (started && boot) start = *boot + static_cast<double>(*started) / ticks_per_second;
    virtual_bytes = stat_field(*stat, 23);
    resident = stat_field(*stat, 24);
    if (resident) *resident *= static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  }
  std::optional<double> max_files;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) max_files = static_cast<double>(limit.rlim_cur);

  add_single(pages, "process_cpu_seconds_total", MetricType::kCounter,
             "Total user and system CPU time spent in seconds.", cpu);
  add_single(pages, "process_max_fds", MetricType::kGauge,
             "Maximum number of open file descriptors.", max_files);
  add_single(pages, "process_open_fds", MetricType::kGauge, "Number of open file descriptors.",
             count_open_files());
  add_single(pages, "process_resident_memory_bytes", MetricType::kGauge,
             "Resident memory size in bytes.", resident);
  add_single(pages, "process_start_time_seconds", MetricType::kGauge,
             "Start time of the process since unix epoch in seconds.", start);
  add_single(pages, "process_virtual_memory_bytes", MetricType::kGauge,
             "Virtual memory size in bytes.", virtual_bytes);
}

MetricType type_of(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter:
      return MetricType::kCounter;
    case prometheus::MetricType::Gauge:
      return MetricType::kGauge;
    case prometheus::MetricType::Histogram:
      return MetricType::kHistogram;
    case prometheus::MetricType::Summary:
      return MetricType::kSummary;
    default:
      return MetricType::kUntyped;
  }
}

std::string with_label(const std::string& labels, std::string_view name, double value) {
  std::string number;
  append_number(number, value);
  std::string out = labels;
  append_label(out, name, number);
  return out;
}

void write_metric(ExpositionWriter& writer, prometheus::MetricType type,
                  const prometheus::ClientMetric& metric) {
  std::string labels;
  for (const auto& label : metric.label) append_label(labels, label.name, label.value);
  switch (type) {
    case prometheus::MetricType::Counter:
      writer.sample(labels, metric.counter.value);
      break;
    case prometheus::MetricType::Gauge:
      writer.sample(labels, metric.gauge.value);
      break;
    case prometheus::MetricType::Histogram: {
      const auto& histogram = metric.histogram;
      for (const auto& bucket : histogram.bucket) {
        writer.sample_suffixed("_bucket", with_label(labels, "le", bucket.upper_bound),
                               std::uint64_t{bucket.cumulative_count});
      }
      writer.sample_suffixed("_sum", labels, histogram.sample_sum);
      writer.sample_suffixed("_count", labels, std::uint64_t{histogram.sample_count});
      break;
    }
    case prometheus::MetricType::Summary: {
      const auto& summary = metric.summary;
      for (const auto& quantile : summary.quantile) {
        writer.sample(with_label(labels, "quantile", quantile.quantile), quantile.value);
      }
      writer.sample_suffixed("_sum", labels, summary.sample_sum);
      writer.sample_suffixed("_count", labels, std::uint64_t{summary.sample_count});
      break;
    }
    default:
      writer.sample(labels, metric.untyped.value);
      break;
  }
}

}  // namespace

struct SelfMetrics::Impl {
  std::string program;
  prometheus::Registry registry;
};

SelfMetrics::SelfMetrics(std::string program) : impl_(std::make_unique<Impl>()) {
  impl_->program = std::move(program);
}

SelfMetrics::~SelfMetrics() = default;

prometheus::Registry& SelfMetrics::registry() {
  return impl_->registry;
}

void SelfMetrics::render(std::string& out) const {
  Pages pages;
  add_process(pages);

  std::string build;
  ExpositionWriter build_writer(build);
  const std::string build_name = "optipod_" + impl_->program + "_build_info";
  build_writer.family(build_name, MetricType::kGauge,
                      "Version of the running program, in its label; the value is always 1.");
  std::string version;
  append_label(version, "version", OPTIPOD_VERSION);
  build_writer.sample(version, std::uint64_t{1});
  pages.emplace_back(build_name, std::move(build));

  for (const auto& family : impl_->registry.Collect()) {
    if (family.metric.empty()) continue;
    std::string text;
    ExpositionWriter writer(text);
    writer.family(family.name, type_of(family.type), family.help);
    for (const auto& metric : family.metric) write_metric(writer, family.type, metric);
    pages.emplace_back(family.name, std::move(text));
  }
  std::stable_sort(pages.begin(), pages.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& page : pages) out.append(page.second);
}

}  // namespace optipod::text
