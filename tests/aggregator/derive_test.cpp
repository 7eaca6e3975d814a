// SPDX-License-Identifier: Apache-2.0
// Golden values are worked out by hand; the arithmetic stands beside each.
#include "aggregator/derive.hpp"
#include "aggregator/derived_series.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/aggregator/support.hpp"

using namespace optipod::aggregator;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// A page of a node with two CPUs; counters grow with `t` seconds since its agent started.
std::string page(double now, double t) {
  return fmt::format(
      "optipod_agent_up 1\n"
      "optipod_sample_timestamp_seconds {:.3f}\n"
      "optipod_node_cpus 2\n"
      "optipod_node_cpu_usage_seconds_total {}\n"  // 1.5 CPUs busy
      "optipod_node_cpu_runqueue_wait_seconds_bucket{{le=\"0.001\"}} {}\n"
      "optipod_node_cpu_runqueue_wait_seconds_bucket{{le=\"0.002\"}} {}\n"
      "optipod_node_cpu_runqueue_wait_seconds_bucket{{le=\"+Inf\"}} {}\n"
      "optipod_node_cpu_runqueue_wait_seconds_sum {}\n"  // 3 tasks waiting
      "optipod_node_cpu_runqueue_wait_seconds_count {}\n"
      "optipod_node_cpu_throttled_wait_seconds_total {}\n"  // one of the three by its own quota
      "optipod_node_memory_total_bytes 1000\n"
      "optipod_node_memory_available_bytes 250\n"
      "optipod_node_pressure_memory_waiting_seconds_total {}\n"
      "optipod_node_pressure_io_waiting_seconds_total {}\n"
      "optipod_node_block_io_latency_seconds_bucket{{device=\"a\",operation=\"read\",le=\"0.5\"}} "
      "{}\n"
      "optipod_node_block_io_latency_seconds_bucket{{device=\"a\",operation=\"read\",le=\"+Inf\"}} "
      "{}\n"
      "optipod_node_block_io_latency_seconds_bucket{{device=\"b\",operation=\"write\",le=\"0.5\"}} "
      "{}\n"
      "optipod_node_block_io_latency_seconds_bucket{{device=\"b\",operation=\"write\",le=\"+Inf\"}}"
      " {}\n"
      "optipod_node_block_io_inflight{{device=\"a\",operation=\"read\"}} 2\n"
      "optipod_node_block_io_inflight{{device=\"b\",operation=\"write\"}} 3\n"
      "optipod_node_memory_allocated_bytes_total {}\n"
      "optipod_node_page_faults_total {}\n"
      "optipod_node_context_switches_total{{kind=\"voluntary\"}} {}\n"
      "optipod_node_context_switches_total{{kind=\"involuntary\"}} {}\n"
      "optipod_node_filesystem_reads_total {}\n"
      "optipod_node_filesystem_read_bytes_total {}\n"
      "optipod_node_filesystem_writes_total {}\n"
      "optipod_node_filesystem_written_bytes_total {}\n"
      "optipod_node_network_tcp_sent_segments_total {}\n"
      "optipod_node_network_tcp_retransmitted_segments_total {}\n",
      now, 1.5 * t, 90 * t, 100 * t, 100 * t, 3 * t, 100 * t, t, 0.25 * t, 0.5 * t, 10 * t, 10 * t,
      30 * t, 30 * t, 1e6 * t, 2e3 * t, 300 * t, 40 * t, 5 * t, 6e4 * t, 7 * t, 8e5 * t, 200 * t,
      t);
}

NodeSample sample_of(const std::string& body) {
  const auto set = std::make_shared<const SeriesSet>(set_of(body, 1'000'000'000));
  return NodePlan(*set->schema).read(set);
}

/// Just CPU time, at a time in seconds.
NodeSample usage(double seconds, double used) {
  NodeSample made{.measured_ms = std::llround(seconds * 1e3), .cpus = 1};
  made.counters[kCpuUsage] = used;
  return made;
}

}  // namespace

TEST_CASE("histogram_quantile is PromQL's") {
  const std::vector<double> bounds{0.1, 0.2, 0.4, kInf};
  const auto q = [&](double quantile, std::vector<double> counts) {
    return histogram_quantile(quantile, bounds, counts);
  };
  CHECK(*q(0.95, {0, 100, 100, 100}) == Approx(0.195));  // 0.1 + 0.1·95/100
  CHECK(*q(0.5, {10, 10, 10, 10}) == Approx(0.05));      // from 0 in the first bucket
  CHECK(*q(0.95, {0, 0, 90, 100}) == Approx(0.4));       // in +Inf: the last finite bound
  CHECK(*q(0.9, {0, 0, 90, 100}) == Approx(0.4));        // rank exactly at the bound
  CHECK(*q(0.95, {50, 90, 100, 100}) == Approx(0.3));    // 0.2 + 0.2·(95−90)/10
  CHECK(*q(0, {0, 10, 10, 10}) == Approx(0.1));          // rank 0: PromQL stops in the first
  CHECK_FALSE(q(0.95, {0, 0, 0, 0}).has_value());
  CHECK_FALSE(q(0.95, {0, 0, 0, std::nan("")}).has_value());
  CHECK_FALSE(
      histogram_quantile(0.95, std::vector<double>{kInf}, std::vector<double>{5}).has_value());
  CHECK_FALSE(
      histogram_quantile(0.95, std::vector<double>{1, 2}, std::vector<double>{5, 5}).has_value());
  // A first bound at or below zero is the answer itself.
  CHECK(*histogram_quantile(0.5, std::vector<double>{-1, 0, kInf}, std::vector<double>{5, 5, 5}) ==
        -1);
}

TEST_CASE("two samples give every quantity") {
  History history;
  history.add(sample_of(page(100, 10)));
  const Derived one = history.derive();
  CHECK(*one.cpus == 2);
  CHECK(*one.memory_bytes == 1000);
  CHECK(*one.memory_utilization == Approx(0.75));
  CHECK(*one.inflight == 5);
  CHECK_FALSE(one.w15s.cpu_utilization.has_value());
  CHECK_FALSE(one.w1m.runqueue_wait_p95.has_value());

  history.add(sample_of(page(101, 11)));
  const Derived two = history.derive();
  for (const Derived::Window* w : {&two.w15s, &two.w1m, &two.w5m}) {
    CHECK(*w->cpu_utilization == Approx(0.75));      // 1.5 CPU s/s over 2 CPUs
    CHECK(*w->runqueue_wait == Approx(1.5));         // 3 tasks over 2 CPUs
    CHECK(*w->contention == Approx(1));              // 2 of them
    CHECK(*w->runqueue_wait_p95 == Approx(0.0015));  // 0.001 + 0.001·(95−90)/10
    CHECK(*w->memory_stall == Approx(0.25));
    CHECK(*w->io_stall == Approx(0.5));
    CHECK(*w->block_io_latency_p95 == Approx(0.475));  // 40 in [0, 0.5]: 0.5·38/40
    CHECK(*w->network_loss == Approx(0.005));          // 1 of 200
  }
  const double rates[] = {1e6, 2e3, 300, 40, 5, 6e4, 7, 8e5};
  for (std::size_t i = 0; i < kRates; ++i) CHECK(*two.rate_1m[i] == Approx(rates[i]));
  CHECK_FALSE(one.rate_1m[kPageFaults].has_value());
  CHECK_FALSE(one.cpu.w1h.has_value());
  CHECK(*two.runqueue_wait_max_1h == Approx(1.5));
  for (const auto& w : {two.cpu.w15m, two.cpu.w1h, two.cpu.w24h}) {
    CHECK(w->mean == Approx(0.75));
    CHECK(w->peak == Approx(0.75));
    CHECK(w->stddev == 0);
  }
  CHECK(two.cpu.w1h->covered == Approx(1.0 / 3600));
  CHECK(two.memory.w24h->mean == Approx(0.75));
  CHECK(two.memory.w24h->covered == Approx(1.0 / 86'400));
}

TEST_CASE("long windows: steps are the samples; gaps and restarts cost only themselves") {
  History history;
  history.add(usage(0, 0));
  history.add(usage(10, 2));   // 0.2
  history.add(usage(20, 8));   // 0.6
  history.add(usage(30, 0));   // a restarted agent: no step
  history.add(usage(40, 10));  // 1.0
  const auto w = history.derive().cpu.w15m;
  CHECK(w->mean == Approx(0.6));
  CHECK(w->stddev == Approx(std::sqrt((0.16 + 0 + 0.16) / 3)));
  CHECK(w->peak == Approx(1));
  CHECK(w->covered == Approx(30.0 / 900));
  CHECK_FALSE(history.derive().memory.w15m.has_value());

  history.add(usage(101, 10));  // 61 s: nothing is known of them
  CHECK(history.derive().cpu.w15m->covered == Approx(30.0 / 900));
  history.add(usage(151, 10));
  CHECK(history.derive().cpu.w15m->mean == Approx((3 * 10 * 0.6) / 80));
  history.add(usage(92, 10));  // a clock set back by less than a minute
  CHECK(history.derive().cpu.w15m->covered == Approx(80.0 / 900));
  history.add(usage(31, 10));  // by more
  CHECK_FALSE(history.derive().cpu.w15m.has_value());
}

TEST_CASE("a rising load is forecast, and never beyond all or nothing") {
  History rising, falling;
  double up = 0, down = 0;
  for (int t = 0; t <= 1800; t += 10) {
    rising.add(usage(t, up));
    falling.add(usage(t, down));
    const double level = 0.9 * (t + 10) / 1800;  // from 0 to 0.9 in half an hour
    up += 10 * level;
    down += 10 * (0.9 - level);
  }
  CHECK(*rising.derive().cpu.forecast_15m == 1);   // 1.35 on the line
  CHECK(*falling.derive().cpu.forecast_15m == 0);  // −0.45
  CHECK_FALSE(rising.derive().memory.forecast_15m.has_value());
}

TEST_CASE("loss: nothing sent is no loss and no value") {
  const auto sample = [](double seconds, double sent, double again) {
    NodeSample made{.measured_ms = std::llround(seconds * 1e3)};
    made.counters[kSegmentsSent] = sent;
    made.counters[kSegmentsRetransmitted] = again;
    return made;
  };
  History history;
  history.add(sample(0, 100, 10));
  history.add(sample(10, 100, 10));
  CHECK_FALSE(history.derive().w15s.network_loss.has_value());
  history.add(sample(20, 104, 14));  // all that was sent was sent again
  CHECK(*history.derive().w15s.network_loss == 1);
  history.add(sample(50, 200, 14));
  CHECK_FALSE(history.derive().w15s.network_loss.has_value());  // no two samples in 15 s
  CHECK(*history.derive().w1m.network_loss == Approx(0.04));    // 4 of 100
  NodeSample gone{.measured_ms = 51'000};
  history.add(gone);
  CHECK_FALSE(history.derive().w1m.network_loss.has_value());
  history.add(sample(52, 0, 0));
  CHECK_FALSE(history.derive().w1m.network_loss.has_value());
}

TEST_CASE("of two series that differ in a foreign label neither is the node's") {
  const NodeSample sample = sample_of(
      "optipod_node_page_faults_total{kind=\"a\"} 1\noptipod_node_page_faults_total{kind=\"b\"} 2\n"
      "optipod_node_context_switches_total{kind=\"voluntary\"} 3\n");
  CHECK(std::isnan(sample.counters[kPageFaults]));
  CHECK(sample.counters[kSwitchesVoluntary] == 3);
  CHECK(std::isnan(sample.counters[kSwitchesInvoluntary]));
}

TEST_CASE("windows are cut by sample time") {
  History history;
  double used = 0;
  for (int t = 0; t <= 100; ++t) {  // idle for 90 s, then one CPU busy
    history.add(usage(t, used));
    used += t >= 90 ? 1 : 0;
  }
  const Derived d = history.derive();
  CHECK(*d.w15s.cpu_utilization == Approx(10.0 / 15));
  CHECK(*d.w1m.cpu_utilization == Approx(10.0 / 60));
  CHECK(history.steps() < 25);  // the last 15 s as they were, the rest in steps of 10 and 30 s
}

TEST_CASE("of a node scraped every 5 s, 15 s always hold two increases, and 10 s would not") {
  const std::array<std::int64_t, 2> lengths{10'000, Steps::kShortMs};
  std::array<std::size_t, 2> fewest{9, 9}, most{0, 0};
  Steps steps;
  std::int64_t last = 0;
  for (int i = 1; i <= 100; ++i) {
    const std::int64_t now = 5'000 * i + i * 7 % 5;  // some milliseconds early or late
    steps.add({.from_ms = last, .to_ms = now, .counters = {}, .buckets = {}});
    last = now;
    if (i < 3) continue;
    steps.windows(lengths, [&](std::size_t w, const StepSums& sums) {
      fewest[w] = std::min(fewest[w], sums.steps);
      most[w] = std::max(most[w], sums.steps);
    });
  }
  CHECK(fewest == std::array<std::size_t, 2>{1, 2});
  CHECK(most == std::array<std::size_t, 2>{2, 3});
}

TEST_CASE("five minutes are kept in a few steps, and lose nothing that shows") {
  const std::array lengths{Steps::kShortMs, Steps::kMediumMs, Steps::kLongMs};
  for (const int interval : {1, 5, 15}) {
    History history;
    std::vector<std::array<double, 3>> at;  // seconds, CPU seconds, waits in the first bucket
    double used = 0, waits = 0;
    for (int t = 0; t <= 3600; t += interval) {
      at.push_back({static_cast<double>(t), used, waits});
      NodeSample sample = usage(t, used);
      static const auto plan = std::make_shared<const HistogramPlan>(
          HistogramPlan{.layout = std::make_shared<const HistogramLayout>(
                            HistogramLayout{.bounds = {1, 2, kInf}, .groups = {"g"}}),
                        .series = {0, 1, 2}});
      const auto counts =
          std::make_shared<const std::vector<double>>(std::vector<double>{waits, 3e6 * t, 3e6 * t});
      sample.histograms[kRunqueueHistogram] = {.plan = plan, .values = {counts, counts->data()}};
      history.add(std::move(sample));
      used += interval * (t / 20 % 2 == 0 ? 0.9 : 0.1);
      waits += 2e6 * interval * (t / 50 % 2 == 0 ? 1.4 : 1);
    }
    CHECK(history.steps() <= 36);
    const Derived derived = history.derive();
    const std::array windows{derived.w15s, derived.w1m, derived.w5m};
    for (std::size_t w = 0; w < windows.size(); ++w) {
      // The steps that lie in it as a whole: never more than the window, at most one coarse step
      // less.
      bool found = false;
      for (auto from = at.rbegin() + 1; from != at.rend(); ++from) {
        const double seconds = 3600 - (*from)[0];
        if (seconds > static_cast<double>(lengths[w]) / 1e3) break;
        if (seconds < static_cast<double>(lengths[w]) / 1e3 * 0.8) continue;
        const double rate = (at.back()[1] - (*from)[1]) / seconds;
        const double first = (at.back()[2] - (*from)[2]) / seconds / 3e6;
        const double p95 = first >= 0.95 ? 0.95 / first : 1 + (0.95 - first) / (1 - first);
        found = found || (*windows[w].cpu_utilization == Approx(rate).epsilon(1e-5) &&
                          *windows[w].runqueue_wait_p95 == Approx(p95).epsilon(1e-4));
      }
      INFO("interval " << interval << " window " << w);
      CHECK(found);
    }
  }
}

TEST_CASE("a gap longer than the short window leaves only the long one") {
  History history;
  history.add(usage(0, 0));
  history.add(usage(30, 15));
  CHECK_FALSE(history.derive().w15s.cpu_utilization.has_value());
  CHECK(*history.derive().w1m.cpu_utilization == Approx(0.5));
  history.add(usage(31, 15.25));
  CHECK(*history.derive().w15s.cpu_utilization == Approx(0.25));
  CHECK(*history.derive().w1m.cpu_utilization == Approx(15.25 / 31));
  history.add(usage(131, 16));
  CHECK_FALSE(history.derive().w1m.cpu_utilization.has_value());
}

TEST_CASE("the same sample twice is one sample") {
  History history;
  history.add(usage(1, 1));
  history.add(usage(1, 1));
  CHECK(history.steps() == 0);
  history.add(usage(2, 1.5));
  history.add(usage(2, 1.5));
  CHECK(history.steps() == 1);
  CHECK(*history.derive().w15s.cpu_utilization == Approx(0.5));
}

TEST_CASE("a counter that goes down, or a time that goes back, starts anew") {
  History history;
  history.add(usage(1, 100));
  history.add(usage(2, 100.5));
  history.add(usage(3, 0.1));
  CHECK_FALSE(history.derive().w15s.cpu_utilization.has_value());
  history.add(usage(4, 0.3));
  CHECK(*history.derive().w15s.cpu_utilization == Approx(0.2));
  history.add(usage(2, 0.4));
  CHECK_FALSE(history.derive().w15s.cpu_utilization.has_value());
  history.add(usage(3, 0.5));
  CHECK(*history.derive().w15s.cpu_utilization == Approx(0.1));

  History buckets;
  buckets.add(sample_of(page(100, 10)));
  buckets.add(sample_of(page(101, 11)));
  buckets.add(sample_of(page(102, 1)));
  CHECK_FALSE(buckets.derive().w15s.runqueue_wait_p95.has_value());
  CHECK(buckets.derive().cpus.has_value());
}

TEST_CASE("what the page lacks is absent, and the rest is there") {
  History history;
  history.add(usage(1, 1));
  history.add(usage(2, 2));
  const Derived d = history.derive();
  CHECK(d.w15s.cpu_utilization.has_value());
  CHECK_FALSE(d.w15s.runqueue_wait.has_value());
  CHECK_FALSE(d.w15s.runqueue_wait_p95.has_value());
  CHECK_FALSE(d.w15s.memory_stall.has_value());
  CHECK_FALSE(d.w15s.io_stall.has_value());
  CHECK_FALSE(d.w15s.block_io_latency_p95.has_value());
  CHECK_FALSE(d.memory_utilization.has_value());
  CHECK_FALSE(d.inflight.has_value());

  NodeSample no_cpus = usage(3, 3);
  no_cpus.cpus.reset();
  history.add(no_cpus);
  CHECK_FALSE(history.derive().w15s.cpu_utilization.has_value());
  NodeSample no_usage = usage(4, 4);
  no_usage.counters[kCpuUsage] = std::nan("");
  history.add(no_usage);
  CHECK_FALSE(history.derive().w15s.cpu_utilization.has_value());
  history.add(usage(5, 5));
  history.add(usage(6, 5.5));  // steps 1→2, 2→3 and 5→6 have it: 2.5 s in 3 s
  CHECK(*history.derive().w15s.cpu_utilization == Approx(2.5 / 3));
}

TEST_CASE(
    "a device that appears adds nothing before its second sample; one that goes takes nothing") {
  const auto body = [](double now, double a, double b) {
    std::string text = fmt::format("optipod_sample_timestamp_seconds {}\n", now);
    for (const auto& [device, count] : {std::pair("a", a), std::pair("b", b)}) {
      if (count < 0) continue;
      // a: all within 0.5 s; b: all within (0.5, 1].
      text += fmt::format(
          "optipod_node_block_io_latency_seconds_bucket{{device=\"{0}\",le=\"0.5\"}} {1}\n"
          "optipod_node_block_io_latency_seconds_bucket{{device=\"{0}\",le=\"1\"}} {2}\n"
          "optipod_node_block_io_latency_seconds_bucket{{device=\"{0}\",le=\"+Inf\"}} {2}\n",
          device, device[0] == 'a' ? count : 0, count);
    }
    return text;
  };
  History history;
  history.add(sample_of(body(1, 100, -1)));
  history.add(sample_of(body(2, 200, 1e6)));  // b is new: its million is not of this second
  CHECK(*history.derive().w15s.block_io_latency_p95 == Approx(0.475));
  history.add(sample_of(body(3, 200, 1e6 + 900)));  // 100 of a, 900 of b: rank 950
  CHECK(*history.derive().w15s.block_io_latency_p95 == Approx(0.5 + 0.5 * 850 / 900));
  history.add(sample_of(body(4, 200, -1)));
  CHECK(*history.derive().w15s.block_io_latency_p95 == Approx(0.5 + 0.5 * 850 / 900));
  CHECK(history.steps() == 3);
}

TEST_CASE("other bucket bounds start anew") {
  const auto body = [](double now, const char* le) {
    return fmt::format(
        "optipod_sample_timestamp_seconds {}\n"
        "optipod_node_cpu_runqueue_wait_seconds_bucket{{le=\"{}\"}} {}\n"
        "optipod_node_cpu_runqueue_wait_seconds_bucket{{le=\"+Inf\"}} {}\n",
        now, le, now, now);
  };
  History history;
  history.add(sample_of(body(1, "0.5")));
  history.add(sample_of(body(2, "0.5")));
  CHECK(history.derive().w15s.runqueue_wait_p95.has_value());
  history.add(sample_of(body(3, "0.7")));
  CHECK_FALSE(history.derive().w15s.runqueue_wait_p95.has_value());
}

TEST_CASE("values beyond what can be are clamped, and nonsense is absent") {
  History history;
  history.add(usage(1, 0));
  history.add(usage(2, 7));  // 7 CPU seconds in a second of one CPU
  CHECK(*history.derive().w15s.cpu_utilization == 1);

  const NodeSample odd = sample_of(
      "optipod_sample_timestamp_seconds 1e300\noptipod_node_cpus NaN\n"
      "optipod_node_memory_total_bytes 0\noptipod_node_memory_available_bytes 5\n"
      "optipod_node_cpu_usage_seconds_total +Inf\n");
  History hostile;
  hostile.add(odd);
  CHECK_FALSE(hostile.derive().cpus.has_value());
  CHECK_FALSE(hostile.derive().memory_utilization.has_value());
  CHECK(std::isnan(odd.counters[kCpuUsage]));
  CHECK(odd.measured_ms == 1'000'000'000);  // the scrape's time
}

TEST_CASE("a hostile page does not make the history grow") {
  std::string body;
  for (int i = 0; i < 1000; ++i) {
    body += fmt::format("optipod_node_cpu_runqueue_wait_seconds_bucket{{le=\"{}\"}} 1\n", i);
  }
  CHECK(sample_of(body).histograms[kRunqueueHistogram].layout() == nullptr);
  History history;
  for (int i = 0; i < 5000; ++i) history.add(usage(i * 0.001, i));
  CHECK(history.steps() < 20);
}

TEST_CASE("series: named as documented, label node, stamped when measured, each with its age") {
  History history;
  for (int t = 0; t <= 900; ++t) history.add(sample_of(page(100 + t, 10 + t)));
  const SeriesSet set = DerivedSeries("n\"1").make(history.derive(), true, 1'000'000, 1'000'300);
  const auto lines = lines_of(set);
  CHECK(lines.size() == 64);
  CHECK(lines[0] == "optipod:node_cpus:last{node=\"n\\\"1\"} 2 1000000");
  CHECK(lines[1] == "optipod:node_cpu_utilization:mean_15s{node=\"n\\\"1\"} 0.75 1000000");
  CHECK(lines.back() == "optipod:node_up:last{node=\"n\\\"1\"} 1 1000000");
  for (std::size_t i = 0; i < set.size(); ++i) CHECK_FALSE(is_stale(set.value(i)));
  // Served as long as the window in the name, which ends in it; :last for 15 s.
  const std::map<std::string, std::int64_t> ages{
      {"15s", 15'000},   {"1m", 60'000},      {"5m", 300'000}, {"15m", 900'000},
      {"1h", 3'600'000}, {"24h", 86'400'000}, {"last", 15'000}};
  for (std::size_t i = 0; i + 1 < set.size(); ++i) {
    const std::string name(set.schema->series()[i].name);
    CHECK(set.max_age_ms[i] == ages.at(name.substr(name.find_last_of(":_") + 1)));
  }

  const SeriesSet down = DerivedSeries("n1").make({}, false, 101'000, 105'000);
  CHECK(lines_of(down).back() == "optipod:node_up:last{node=\"n1\"} 0 105000");
  for (std::size_t i = 0; i + 1 < down.size(); ++i) CHECK(is_stale(down.value(i)));
}
