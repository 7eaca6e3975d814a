// SPDX-License-Identifier: Apache-2.0
#include "aggregator/derived_series.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace optipod::aggregator {
namespace {

constexpr std::int64_t kShort = Steps::kShortMs, kMinute = Steps::kMediumMs, kFive = Steps::kLongMs,
                       kQuarter = 15 * Trend::kMinuteMs, kHour = Trend::kHourMs,
                       kDay = 24 * Trend::kHourMs;

std::optional<double> of(const std::optional<WindowMoments>& window,
                         double WindowMoments::*figure) {
  return window ? std::optional((*window).*figure) : std::nullopt;
}

struct Quantity {
  std::string_view name;
  std::int64_t max_age_ms;
  std::optional<double> (*value)(const Derived&);
  std::optional<double>* (*place)(Figures&) = nullptr;  ///< null: people are not shown it
};

/// `member` gives the figure of a Derived or of Figures.
template <class Member>
constexpr Quantity figure(std::string_view name, std::int64_t max_age_ms, Member /*member*/) {
  return {.name = name,
          .max_age_ms = max_age_ms,
          .value = [](const Derived& d) -> std::optional<double> { return Member{}(d); },
          .place = [](Figures& f) { return &Member{}(f); }};
}

constexpr std::array kQuantities{
    figure("optipod:node_cpus:last", kShort, [](auto& d) -> auto& { return d.cpus; }),
    figure("optipod:node_cpu_utilization:mean_15s", kShort,
           [](auto& d) -> auto& { return d.w15s.cpu_utilization; }),
    figure("optipod:node_cpu_utilization:mean_1m", kMinute,
           [](auto& d) -> auto& { return d.w1m.cpu_utilization; }),
    figure("optipod:node_cpu_utilization:mean_5m", kFive,
           [](auto& d) -> auto& { return d.w5m.cpu_utilization; }),
    figure("optipod:node_cpu_runqueue_wait:mean_15s", kShort,
           [](auto& d) -> auto& { return d.w15s.runqueue_wait; }),
    figure("optipod:node_cpu_runqueue_wait:mean_1m", kMinute,
           [](auto& d) -> auto& { return d.w1m.runqueue_wait; }),
    figure("optipod:node_cpu_runqueue_wait:mean_5m", kFive,
           [](auto& d) -> auto& { return d.w5m.runqueue_wait; }),
    figure("optipod:node_cpu_contention:mean_15s", kShort,
           [](auto& d) -> auto& { return d.w15s.contention; }),
    figure("optipod:node_cpu_contention:mean_1m", kMinute,
           [](auto& d) -> auto& { return d.w1m.contention; }),
    figure("optipod:node_cpu_contention:mean_5m", kFive,
           [](auto& d) -> auto& { return d.w5m.contention; }),
    figure("optipod:node_cpu_runqueue_wait_seconds:p95_15s", kShort,
           [](auto& d) -> auto& { return d.w15s.runqueue_wait_p95; }),
    figure("optipod:node_cpu_runqueue_wait_seconds:p95_1m", kMinute,
           [](auto& d) -> auto& { return d.w1m.runqueue_wait_p95; }),
    figure("optipod:node_cpu_runqueue_wait_seconds:p95_5m", kFive,
           [](auto& d) -> auto& { return d.w5m.runqueue_wait_p95; }),
    figure("optipod:node_memory_utilization:last", kShort,
           [](auto& d) -> auto& { return d.memory_utilization; }),
    figure("optipod:node_memory_bytes:last", kShort,
           [](auto& d) -> auto& { return d.memory_bytes; }),
    figure("optipod:node_memory_stall:mean_15s", kShort,
           [](auto& d) -> auto& { return d.w15s.memory_stall; }),
    figure("optipod:node_memory_stall:mean_1m", kMinute,
           [](auto& d) -> auto& { return d.w1m.memory_stall; }),
    figure("optipod:node_memory_stall:mean_5m", kFive,
           [](auto& d) -> auto& { return d.w5m.memory_stall; }),
    figure("optipod:node_io_stall:mean_15s", kShort,
           [](auto& d) -> auto& { return d.w15s.io_stall; }),
    figure("optipod:node_io_stall:mean_1m", kMinute,
           [](auto& d) -> auto& { return d.w1m.io_stall; }),
    figure("optipod:node_io_stall:mean_5m", kFive, [](auto& d) -> auto& { return d.w5m.io_stall; }),
    figure("optipod:node_block_io_latency_seconds:p95_15s", kShort,
           [](auto& d) -> auto& { return d.w15s.block_io_latency_p95; }),
    figure("optipod:node_block_io_latency_seconds:p95_1m", kMinute,
           [](auto& d) -> auto& { return d.w1m.block_io_latency_p95; }),
    figure("optipod:node_block_io_latency_seconds:p95_5m", kFive,
           [](auto& d) -> auto& { return d.w5m.block_io_latency_p95; }),
    figure("optipod:node_block_io_inflight:last", kShort,
           [](auto& d) -> auto& { return d.inflight; }),
    figure("optipod:node_network_loss:mean_15s", kShort,
           [](auto& d) -> auto& { return d.w15s.network_loss; }),
    figure("optipod:node_network_loss:mean_1m", kMinute,
           [](auto& d) -> auto& { return d.w1m.network_loss; }),
    figure("optipod:node_network_loss:mean_5m", kFive,
           [](auto& d) -> auto& { return d.w5m.network_loss; }),
    Quantity{"optipod:node_memory_allocated_bytes:rate_1m", kMinute,
             [](const Derived& d) { return d.rate_1m[kMemoryAllocatedBytes]; }},
    Quantity{"optipod:node_page_faults:rate_1m", kMinute,
             [](const Derived& d) { return d.rate_1m[kPageFaults]; }},
    Quantity{"optipod:node_context_switches_voluntary:rate_1m", kMinute,
             [](const Derived& d) { return d.rate_1m[kSwitchesVoluntary]; }},
    Quantity{"optipod:node_context_switches_involuntary:rate_1m", kMinute,
             [](const Derived& d) { return d.rate_1m[kSwitchesInvoluntary]; }},
    Quantity{"optipod:node_filesystem_reads:rate_1m", kMinute,
             [](const Derived& d) { return d.rate_1m[kFilesystemReads]; }},
    Quantity{"optipod:node_filesystem_read_bytes:rate_1m", kMinute,
             [](const Derived& d) { return d.rate_1m[kFilesystemReadBytes]; }},
    Quantity{"optipod:node_filesystem_writes:rate_1m", kMinute,
             [](const Derived& d) { return d.rate_1m[kFilesystemWrites]; }},
    Quantity{"optipod:node_filesystem_written_bytes:rate_1m", kMinute,
             [](const Derived& d) { return d.rate_1m[kFilesystemWrittenBytes]; }},
    Quantity{"optipod:node_cpu_runqueue_wait:max_1h", kHour,
             [](const Derived& d) { return d.runqueue_wait_max_1h; }},
    Quantity{"optipod:node_cpu_utilization:mean_15m", kQuarter,
             [](const Derived& d) { return of(d.cpu.w15m, &WindowMoments::mean); }},
    Quantity{"optipod:node_cpu_utilization:stddev_15m", kQuarter,
             [](const Derived& d) { return of(d.cpu.w15m, &WindowMoments::stddev); }},
    Quantity{"optipod:node_cpu_utilization:max_15m", kQuarter,
             [](const Derived& d) { return of(d.cpu.w15m, &WindowMoments::peak); }},
    Quantity{"optipod:node_cpu_utilization:covered_15m", kQuarter,
             [](const Derived& d) { return of(d.cpu.w15m, &WindowMoments::covered); }},
    Quantity{"optipod:node_cpu_utilization:mean_1h", kHour,
             [](const Derived& d) { return of(d.cpu.w1h, &WindowMoments::mean); }},
    Quantity{"optipod:node_cpu_utilization:stddev_1h", kHour,
             [](const Derived& d) { return of(d.cpu.w1h, &WindowMoments::stddev); }},
    Quantity{"optipod:node_cpu_utilization:max_1h", kHour,
             [](const Derived& d) { return of(d.cpu.w1h, &WindowMoments::peak); }},
    Quantity{"optipod:node_cpu_utilization:covered_1h", kHour,
             [](const Derived& d) { return of(d.cpu.w1h, &WindowMoments::covered); }},
    Quantity{"optipod:node_cpu_utilization:mean_24h", kDay,
             [](const Derived& d) { return of(d.cpu.w24h, &WindowMoments::mean); }},
    Quantity{"optipod:node_cpu_utilization:stddev_24h", kDay,
             [](const Derived& d) { return of(d.cpu.w24h, &WindowMoments::stddev); }},
    Quantity{"optipod:node_cpu_utilization:max_24h", kDay,
             [](const Derived& d) { return of(d.cpu.w24h, &WindowMoments::peak); }},
    Quantity{"optipod:node_cpu_utilization:covered_24h", kDay,
             [](const Derived& d) { return of(d.cpu.w24h, &WindowMoments::covered); }},
    Quantity{"optipod:node_cpu_utilization:forecast_15m", kQuarter,
             [](const Derived& d) { return d.cpu.forecast_15m; }},
    Quantity{"optipod:node_memory_utilization:mean_15m", kQuarter,
             [](const Derived& d) { return of(d.memory.w15m, &WindowMoments::mean); }},
    Quantity{"optipod:node_memory_utilization:stddev_15m", kQuarter,
             [](const Derived& d) { return of(d.memory.w15m, &WindowMoments::stddev); }},
    Quantity{"optipod:node_memory_utilization:max_15m", kQuarter,
             [](const Derived& d) { return of(d.memory.w15m, &WindowMoments::peak); }},
    Quantity{"optipod:node_memory_utilization:covered_15m", kQuarter,
             [](const Derived& d) { return of(d.memory.w15m, &WindowMoments::covered); }},
    Quantity{"optipod:node_memory_utilization:mean_1h", kHour,
             [](const Derived& d) { return of(d.memory.w1h, &WindowMoments::mean); }},
    Quantity{"optipod:node_memory_utilization:stddev_1h", kHour,
             [](const Derived& d) { return of(d.memory.w1h, &WindowMoments::stddev); }},
    Quantity{"optipod:node_memory_utilization:max_1h", kHour,
             [](const Derived& d) { return of(d.memory.w1h, &WindowMoments::peak); }},
    Quantity{"optipod:node_memory_utilization:covered_1h", kHour,
             [](const Derived& d) { return of(d.memory.w1h, &WindowMoments::covered); }},
    Quantity{"optipod:node_memory_utilization:mean_24h", kDay,
             [](const Derived& d) { return of(d.memory.w24h, &WindowMoments::mean); }},
    Quantity{"optipod:node_memory_utilization:stddev_24h", kDay,
             [](const Derived& d) { return of(d.memory.w24h, &WindowMoments::stddev); }},
    Quantity{"optipod:node_memory_utilization:max_24h", kDay,
             [](const Derived& d) { return of(d.memory.w24h, &WindowMoments::peak); }},
    Quantity{"optipod:node_memory_utilization:covered_24h", kDay,
             [](const Derived& d) { return of(d.memory.w24h, &WindowMoments::covered); }},
    Quantity{"optipod:node_memory_utilization:forecast_15m", kQuarter,
             [](const Derived& d) { return d.memory.forecast_15m; }},
};
constexpr std::string_view kUpName = "optipod:node_up:last";
constexpr std::size_t kUp = kQuantities.size(), kSeries = kUp + 1;
static_assert(kSeries <= kPackedBlock);

std::shared_ptr<const Schema> make_schema() {
  SchemaBuilder builder;
  for (const Quantity& quantity : kQuantities) builder.add(quantity.name, {}, true);
  builder.add(kUpName, {}, true);
  return builder.finish().value_or(nullptr);  // cannot fail: the names above differ
}

std::vector<std::int64_t> make_ages() {
  std::vector<std::int64_t> ages;
  ages.reserve(kQuantities.size() + 1);
  for (const Quantity& quantity : kQuantities) ages.push_back(quantity.max_age_ms);
  ages.push_back(std::numeric_limits<std::int64_t>::max());
  return ages;
}

double shown(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? *value : stale();
}

/// Each is known where it is compiled: no call through a pointer for a number.
template <std::size_t... kIndices>
void read(const Derived& derived, double* values, std::index_sequence<kIndices...> /*all*/) {
  ((values[kIndices] = shown(kQuantities[kIndices].value(derived))), ...);
}

}  // namespace

DerivedSeries::DerivedSeries(std::string_view node)
    : labels_(LabelSet::of({{"node", std::string(node)}})) {}

SeriesSet DerivedSeries::make(const Derived& derived, bool up, std::int64_t measured_ms,
                              std::int64_t scraped_ms) const {
  static const std::shared_ptr<const Schema> kSchema = make_schema();
  static const std::vector<std::int64_t> kAges = make_ages();
  SeriesSet set{.schema = kSchema,
                .values = {},
                .scraped_ms = scraped_ms,
                .measured_ms = measured_ms,
                .own_ms = {},
                .max_age_ms = kAges,
                .labels = labels_};
  std::array<double, kSeries> values;
  read(derived, values.data(), std::make_index_sequence<kQuantities.size()>());
  values[kUp] = 1;
  set.packed = pack(values);
  if (!up) return down(std::move(set), scraped_ms);
  return set;
}

SeriesSet DerivedSeries::down(SeriesSet last, std::int64_t scraped_ms) {
  last.scraped_ms = scraped_ms;
  std::array<double, kSeries> values;
  for (std::size_t i = 0; i < kSeries; ++i) values[i] = i == kUp ? 0 : last.value(i);
  last.packed = pack(values);
  last.own_ms.assign(kSeries, kNoTime);
  last.own_ms[kUp] = scraped_ms;
  return last;
}

Figures figures_of(const SeriesSet& view) {
  Figures figures;
  if (!view.schema) return figures;
  for (std::size_t i = 0; i < kQuantities.size(); ++i) {
    if (kQuantities[i].place == nullptr || view.packed.get()[i].absent()) continue;
    *kQuantities[i].place(figures) = view.value(i);
  }
  return figures;
}

}  // namespace optipod::aggregator
