// SPDX-License-Identifier: Apache-2.0
#include "aggregator/pod_usage.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

namespace optipod::aggregator {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Output {
  std::string_view source, name;
  std::int64_t max_age_ms;
};
// In the order of PodUsage::Quantity.
constexpr std::array<Output, 3> kOutputs{{
    {"optipod_container_cpu_usage_seconds_total", "optipod:pod_cpu_usage:mean_1m", 60'000},
    {"optipod_container_block_io_bytes_total", "optipod:pod_block_io_bytes:rate_1m", 60'000},
    {"optipod_container_memory_usage_bytes", "optipod:pod_memory_bytes:last", 15'000},
}};

std::vector<std::int64_t> make_ages(std::size_t pods) {
  std::vector<std::int64_t> ages;
  ages.reserve(pods * kOutputs.size());
  for (std::size_t i = 0; i < pods; ++i) {
    for (const Output& output : kOutputs) ages.push_back(output.max_age_ms);
  }
  return ages;
}

std::string on_page(std::string_view label, const LabelPairs& target_labels) {
  const bool taken = std::any_of(target_labels.begin(), target_labels.end(),
                                 [&](const auto& pair) { return pair.first == label; });
  return (taken ? "exported_" : "") + std::string(label);
}

}  // namespace

PodUsage::PodUsage(std::shared_ptr<const LabelSet> labels, const LabelPairs& target_labels)
    : labels_(std::move(labels)),
      namespace_label_(on_page("namespace", target_labels)),
      pod_label_(on_page("pod", target_labels)) {}

void PodUsage::update(const SeriesSet& page, std::int64_t measured_ms) {
  if (page.schema != schema_) plan(page.schema);
  if (last_ms_ && measured_ms == *last_ms_) return;
  if (last_ms_ && measured_ms < *last_ms_) anchors_ = 0;
  last_ms_ = measured_ms;
  take(page);
  rate(measured_ms);
}

void PodUsage::plan(const std::shared_ptr<const Schema>& schema) {
  std::map<std::pair<std::string_view, std::string_view>, std::uint32_t> index;
  std::vector<Source> sources;
  for (std::size_t q = 0; q < kQuantities; ++q) {
    const auto runs = schema->runs();
    const auto run = std::lower_bound(
        runs.begin(), runs.end(), kOutputs[q].source,
        [](const Schema::Run& r, std::string_view wanted) { return r.name < wanted; });
    if (run == runs.end() || run->name != kOutputs[q].source) continue;
    for (const std::uint32_t i : schema->order().subspan(run->begin, run->end - run->begin)) {
      const Schema::Series& series = schema->series()[i];
      const std::pair key(series.label(namespace_label_), series.label(pod_label_));
      if (key.first.empty() || key.second.empty()) continue;
      if (index.size() >= kMaxPods && !index.contains(key)) continue;
      const auto pod = index.try_emplace(key, static_cast<std::uint32_t>(index.size())).first;
      sources.push_back({i, pod->second, static_cast<Quantity>(q), kNan});
    }
  }
  std::vector<Pod> pods;
  pods.reserve(index.size());
  std::vector<std::uint32_t> place(index.size());  // from the order of discovery to that of names
  for (const auto& [key, found] : index) {
    place[found] = static_cast<std::uint32_t>(pods.size());
    Pod& pod = pods.emplace_back(Pod{.namespace_ = key.first, .name = key.second});
    pod.total.fill(kNan);
    for (Totals& totals : pod.at) totals.fill(kNan);
  }
  for (Source& source : sources) source.pod = place[source.pod];
  if (schema_) carry_over(*schema, sources, pods);
  schema_ = schema;
  sources_ = std::move(sources);
  pods_ = std::move(pods);
  make_series();
}

/// Both sides are sorted alike: one pass over each.
void PodUsage::carry_over(const Schema& schema, std::vector<Source>& sources,
                          std::vector<Pod>& pods) const {
  const auto by_name = [](const Pod& p) { return std::pair(p.namespace_, p.name); };
  auto pod = pods_.begin();
  for (Pod& fresh : pods) {
    while (pod != pods_.end() && by_name(*pod) < by_name(fresh)) ++pod;
    if (pod == pods_.end()) break;
    if (by_name(*pod) != by_name(fresh)) continue;
    fresh.total = pod->total;
    fresh.at = pod->at;
    fresh.value = pod->value;
  }
  const auto by_labels = [](const Schema& of, const Source& s) {
    return std::pair(s.quantity, of.series()[s.series].text);
  };
  auto source = sources_.begin();
  for (Source& fresh : sources) {
    const auto wanted = by_labels(schema, fresh);
    while (source != sources_.end() && by_labels(*schema_, *source) < wanted) ++source;
    if (source == sources_.end()) break;
    if (by_labels(*schema_, *source) == wanted) fresh.last = source->last;
  }
}

void PodUsage::make_series() {
  static SchemaParts parts;  // nodes with as many pods have their shape in common
  derived_ = nullptr;
  if (pods_.empty()) return;
  SchemaBuilder builder(&parts);
  for (const Pod& pod : pods_) {
    const std::vector<text::Label> labels{{.name = "namespace", .value = pod.namespace_},
                                          {.name = "pod", .value = pod.name}};
    for (const Output& output : kOutputs) builder.add(output.name, labels, true);
  }
  derived_ = builder.finish().value_or(nullptr);  // cannot fail: the pods' names differ
}

/// Adds this page's increases to the pods' totals. A value that is there marks what the page shows.
void PodUsage::take(const SeriesSet& page) {
  for (Pod& pod : pods_) pod.value.fill(std::nullopt);
  for (Source& source : sources_) {
    Pod& pod = pods_[source.pod];
    const double now = page.values[source.series];
    if (!std::isfinite(now)) {
      source.last = kNan;
      continue;
    }
    std::optional<double>& value = pod.value[source.quantity];
    value = value.value_or(0);
    if (source.quantity == kMemory) {
      *value += now;
      continue;
    }
    double& total = pod.total[source.quantity];
    if (std::isnan(total)) total = 0;
    if (!std::isnan(source.last)) total += now < source.last ? now : now - source.last;
    source.last = now;
  }
}

void PodUsage::rate(std::int64_t now_ms) {
  const auto slot = [&](std::size_t i) { return (first_anchor_ + i) % kAnchors; };
  const auto drop_oldest = [&] {
    first_anchor_ = slot(1);
    --anchors_;
  };
  while (anchors_ > 0 && anchor_ms_[first_anchor_] < now_ms - kWindowMs) drop_oldest();

  for (Pod& pod : pods_) {
    for (std::size_t q = 0; q < kRates; ++q) {
      if (!pod.value[q]) continue;
      pod.value[q].reset();
      for (std::size_t i = 0; i < anchors_; ++i) {
        const double then = pod.at[slot(i)][q];
        if (std::isnan(then)) continue;  // not there yet
        const auto ms = static_cast<double>(now_ms - anchor_ms_[slot(i)]);
        pod.value[q] = (pod.total[q] - then) / ms * 1e3;
        break;
      }
    }
  }

  if (anchors_ > 0 && anchor_ms_[slot(anchors_ - 1)] > now_ms - kAnchorMs) return;
  if (anchors_ == kAnchors) drop_oldest();
  const std::size_t fresh = slot(anchors_++);
  anchor_ms_[fresh] = now_ms;
  for (Pod& pod : pods_) pod.at[fresh] = pod.total;
}

SeriesSet PodUsage::series(std::int64_t measured_ms, std::int64_t scraped_ms) const {
  SeriesSet set{.schema = derived_,
                .values = {},
                .scraped_ms = scraped_ms,
                .measured_ms = measured_ms,
                .own_ms = {},
                .max_age_ms = {},
                .labels = labels_};
  if (!derived_) return set;
  static const std::vector<std::int64_t> kAges = make_ages(kMaxPods);
  set.max_age_ms = std::span(kAges).first(pods_.size() * kQuantities);
  set.values.reserve(pods_.size() * kQuantities);
  for (const Pod& pod : pods_) {
    for (std::size_t q = 0; q < kQuantities; ++q) {
      set.values.push_back(pod.value[q] && std::isfinite(*pod.value[q]) ? *pod.value[q] : stale());
    }
  }
  return set;
}

}  // namespace optipod::aggregator
