// SPDX-License-Identifier: Apache-2.0
//
// Finds on an exporter's page what derivation needs.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>

#include "aggregator/derive.hpp"

namespace optipod::aggregator {
namespace {

// Beyond these a page is not an exporter's of ours; the view does without rather than grow.
constexpr std::size_t kMaxGroups = 1024;
constexpr std::size_t kMaxDevices = 4096;

struct CounterSeries {
  std::string_view name, label, value;  ///< the label that tells series of one name apart
};
constexpr std::array<CounterSeries, kCounters> kCounterSeries{{
    {"optipod_node_memory_allocated_bytes_total", "", ""},
    {"optipod_node_page_faults_total", "", ""},
    {"optipod_node_context_switches_total", "kind", "voluntary"},
    {"optipod_node_context_switches_total", "kind", "involuntary"},
    {"optipod_node_filesystem_reads_total", "", ""},
    {"optipod_node_filesystem_read_bytes_total", "", ""},
    {"optipod_node_filesystem_writes_total", "", ""},
    {"optipod_node_filesystem_written_bytes_total", "", ""},
    {"optipod_node_network_tcp_sent_segments_total", "", ""},
    {"optipod_node_network_tcp_retransmitted_segments_total", "", ""},
    {"optipod_node_cpu_usage_seconds_total", "", ""},
    {"optipod_node_cpu_runqueue_wait_seconds_sum", "", ""},
    {"optipod_node_cpu_throttled_wait_seconds_total", "", ""},
    {"optipod_node_pressure_memory_waiting_seconds_total", "", ""},
    {"optipod_node_pressure_io_waiting_seconds_total", "", ""},
}};

std::span<const std::uint32_t> find(const Schema& schema, std::string_view name) {
  const auto runs = schema.runs();
  const auto run = std::lower_bound(
      runs.begin(), runs.end(), name,
      [](const Schema::Run& r, std::string_view wanted) { return r.name < wanted; });
  if (run == runs.end() || run->name != name) return {};
  return schema.order().subspan(run->begin, run->end - run->begin);
}

std::optional<double> number(std::string_view text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

NodePlan::NodePlan(const Schema& schema) {
  const auto one = [&](std::string_view name, std::string_view label = {},
                       std::string_view value = {}) {
    std::uint32_t found = kMissing;
    for (const std::uint32_t i : find(schema, name)) {
      if (schema.series()[i].label(label) != value) continue;
      if (found != kMissing) return kMissing;
      found = i;
    }
    return found;
  };
  time_ = one("optipod_sample_timestamp_seconds");
  cpus_ = one("optipod_node_cpus");
  memory_total_ = one("optipod_node_memory_total_bytes");
  memory_available_ = one("optipod_node_memory_available_bytes");
  for (std::size_t i = 0; i < kCounters; ++i) {
    const auto& [name, label, value] = kCounterSeries[i];
    counters_[i] = one(name, label, value);
  }
  const auto inflight = find(schema, "optipod_node_block_io_inflight");
  if (inflight.size() <= kMaxDevices) inflight_.assign(inflight.begin(), inflight.end());
  histograms_ = {find_histogram(schema, "optipod_node_cpu_runqueue_wait_seconds_bucket"),
                 find_histogram(schema, "optipod_node_block_io_latency_seconds_bucket")};
}

std::shared_ptr<const HistogramPlan> NodePlan::find_histogram(const Schema& schema,
                                                              std::string_view bucket_name) {
  std::map<double, std::size_t> bounds;
  std::map<std::string, std::size_t> groups;
  struct Bucket {
    std::uint32_t series;
    double bound;
    std::string group;
  };
  std::vector<Bucket> buckets;
  for (const std::uint32_t i : find(schema, bucket_name)) {
    const Schema::Series& series = schema.series()[i];
    const auto bound = number(series.label("le"));
    if (!bound || std::isnan(*bound)) continue;
    Bucket bucket{i, *bound, {}};
    for (const std::string_view label : {"device", "operation"}) {
      bucket.group += series.label(label);
      bucket.group += '\0';
    }
    bounds.emplace(*bound, 0);
    groups.emplace(bucket.group, 0);
    if (bounds.size() > kMaxBounds || groups.size() > kMaxGroups) return nullptr;
    buckets.push_back(std::move(bucket));
  }
  if (buckets.empty()) return nullptr;
  HistogramLayout layout;
  for (auto& [bound, index] : bounds) {
    index = layout.bounds.size();
    layout.bounds.push_back(bound);
  }
  for (auto& [group, index] : groups) {
    index = layout.groups.size();
    layout.groups.push_back(group);
  }
  HistogramPlan plan;
  plan.series.assign(bounds.size() * groups.size(), kMissing);
  for (const Bucket& bucket : buckets) {
    plan.series[groups[bucket.group] * bounds.size() + bounds[bucket.bound]] = bucket.series;
  }
  plan.layout = std::make_shared<const HistogramLayout>(std::move(layout));
  return std::make_shared<const HistogramPlan>(std::move(plan));
}

bool HistogramPlan::operator==(const HistogramPlan& other) const {
  return (layout == other.layout || *layout == *other.layout) && series == other.series;
}

bool operator==(const NodePlan& a, const NodePlan& b) {
  const auto same = [](const auto& x, const auto& y) { return x == y || (x && y && *x == *y); };
  return a.time_ == b.time_ && a.cpus_ == b.cpus_ && a.memory_total_ == b.memory_total_ &&
         a.memory_available_ == b.memory_available_ && a.counters_ == b.counters_ &&
         a.inflight_ == b.inflight_ &&
         std::equal(a.histograms_.begin(), a.histograms_.end(), b.histograms_.begin(), same);
}

std::uint64_t NodePlan::hash() const {
  std::uint64_t hash = 0;
  const auto add = [&hash](std::uint64_t more) { hash = (hash ^ more) * 0x9e3779b97f4a7c15; };
  for (const std::uint32_t i : {time_, cpus_, memory_total_, memory_available_}) add(i);
  for (const std::uint32_t i : counters_) add(i);
  for (const std::uint32_t i : inflight_) add(i);
  for (const auto& histogram : histograms_) {
    if (!histogram) continue;
    for (const std::uint32_t i : histogram->series) add(i);
  }
  return hash;
}

NodeSample NodePlan::read(const std::shared_ptr<const SeriesSet>& of) const {
  const SeriesSet& set = *of;
  const auto value = [&](std::uint32_t i) -> std::optional<double> {
    if (i == kMissing || !std::isfinite(set.values[i])) return std::nullopt;
    return set.values[i];
  };
  NodeSample sample;
  constexpr double kLatest = 1e12;  // seconds; far beyond any clock, within 64 bits of ms
  const auto time = value(time_);
  sample.measured_ms =
      time && std::abs(*time) < kLatest ? std::llround(*time * 1e3) : set.scraped_ms;
  sample.cpus = value(cpus_);
  sample.memory_total = value(memory_total_);
  sample.memory_available = value(memory_available_);
  for (std::size_t i = 0; i < kCounters; ++i) {
    if (const auto count = value(counters_[i])) sample.counters[i] = *count;
  }
  for (const std::uint32_t i : inflight_) {
    if (const auto more = value(i)) sample.inflight = sample.inflight.value_or(0) + *more;
  }
  for (std::size_t kind = 0; kind < kHistograms; ++kind) {
    if (!histograms_[kind]) continue;
    sample.histograms[kind] = {histograms_[kind], {of, set.values.data()}};
  }
  return sample;
}

}  // namespace optipod::aggregator
