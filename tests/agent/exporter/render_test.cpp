// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/render.hpp"

#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "agent/exporter/text_page.hpp"
#include "tests/agent/exporter/fabricate.hpp"
#include "tests/agent/exporter/scraped.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::exporter;
using namespace optipod::exporter::testing;

namespace {

std::string page_of(const shm::Tick& tick, std::size_t* hidden = nullptr) {
  std::string out;
  Renderer renderer;
  const std::size_t count = renderer.render(tick, {}, out);
  if (hidden != nullptr) *hidden = count;
  return out;
}

}  // namespace

TEST_CASE("nanoseconds become exact decimal seconds") {
  const auto text = [](std::uint64_t ns) {
    std::string out;
    append_seconds(out, ns);
    return out;
  };
  CHECK(text(0) == "0");
  CHECK(text(1) == "0.000000001");
  CHECK(text(10) == "0.00000001");
  CHECK(text(1'000'000'000) == "1");
  CHECK(text(1'500'000'000) == "1.5");
  CHECK(text(1'000'000'001) == "1.000000001");
  CHECK(text(12'345'678'900) == "12.3456789");
  CHECK(text(999'999'999) == "0.999999999");
  CHECK(text(UINT64_MAX) == "18446744073.709551615");
  // What a reader gets is the double nearest to the count.
  for (std::uint64_t ns = 3; ns < (1ull << 53); ns = ns * 7 / 3 + 11) {
    CHECK(std::stod(text(ns)) == static_cast<double>(ns) / 1e9);
  }
}

TEST_CASE("histograms have inclusive bounds, are cumulative and complete") {
  const auto render = [](const shm::Histogram& h, Buckets buckets = Buckets::kFull) {
    std::string out;
    TextPage page(out, text::Format::kText, buckets);
    const Metric metric{.subject = Subject::kNode,
                        .topic = Topic::kCpu,
                        .name = "wait_seconds",
                        .type = text::MetricType::kHistogram,
                        .unit = "seconds",
                        .labels = {},
                        .source = {},
                        .help = "A test.",
                        .high = {}};
    page.family(metric);
    page.histogram({}, nullptr, h);
    return out;
  };
  const std::string name = "optipod_node_wait_seconds";

  SECTION("before the first event all series are there") {
    const Scraped s(render({}));
    CHECK(s.size() == 21 + 1 + 2);
    CHECK(s.at(name + "_bucket{le=1.024e-06;}") == 0);
    CHECK(s.at(name + "_bucket{le=1.073741824;}") == 0);
    CHECK(s.at(name + "_bucket{le=+Inf;}") == 0);
    CHECK(s.at(name + "_sum{}") == 0);
    CHECK(s.at(name + "_count{}") == 0);
  }
  SECTION("each record bucket is counted from its own bound on") {
    for (std::size_t k = 0; k < shm::kHistogramBuckets; ++k) {
      shm::Histogram h{};
      h.bucket[k] = 1;
      const Scraped s(render(h));
      CAPTURE(k);
      for (std::size_t shown = 10; shown <= 30; ++shown) {
        std::string le;
        text::append_number(le, static_cast<double>(1ull << shown) / 1e9);
        CHECK(s.at(std::string(name).append("_bucket{le=").append(le).append(";}")) ==
              (k <= shown ? 1 : 0));
      }
      CHECK(s.at(name + "_bucket{le=+Inf;}") == 1);
      CHECK(s.at(name + "_count{}") == 1);
    }
  }
  SECTION("the compact set has every other bound, and the same counts at them") {
    const Scraped full(render(histogram(7)));
    const Scraped compact(render(histogram(7), Buckets::kCompact));
    CHECK(compact.size() == 10 + 1 + 2);
    for (std::size_t shown = 12; shown <= 30; shown += 2) {
      std::string le;
      text::append_number(le, static_cast<double>(1ull << shown) / 1e9);
      const std::string key = std::string(name).append("_bucket{le=").append(le).append(";}");
      CHECK(compact.at(key) == full.at(key));
    }
    for (const char* suffix : {"_bucket{le=+Inf;}", "_sum{}", "_count{}"}) {
      CHECK(compact.at(name + suffix) == full.at(name + suffix));
    }
  }
  SECTION("sum and count") {
    const Scraped s(render(histogram(7)));
    CHECK(s.at(name + "_count{}") == 32 * 7 + 31 * 16);
    CHECK(s.at(name + "_bucket{le=+Inf;}") == s.at(name + "_count{}"));
    CHECK(s.at(name + "_sum{}") == 7.000000049);
  }
}

TEST_CASE("the golden page") {
  shm::Tick tick = node_tick();
  tick.containers.push_back(container("shop", "cart-5d9c", "app", 2));
  tick.containers.push_back(container("", "", "/system.slice/ssh.service", 9));
  tick.devices.push_back(device("sda", 3));
  std::string page;
  render_status({true, tick.node.sampled_realtime_ns}, {}, page);
  Renderer renderer;
  CHECK(renderer.render(tick, {}, page) == 0);

  std::ifstream file(GOLDEN_PAGE);
  std::stringstream golden;
  golden << file.rdbuf();
  if (page != golden.str()) {
    std::ofstream("golden.actual.prom") << page;
    FAIL("the page differs from " GOLDEN_PAGE "; what it is now is in golden.actual.prom");
  }
  Scraped s(page);
  CHECK(s.at("optipod_sample_timestamp_seconds{}") == 1790000000.250000001);
  CHECK(s.at("optipod_agent_ticks_total{}") == 42);
  CHECK(s.at("optipod_container_cpu_throttled_seconds_total{container=app;namespace=shop;pod=cart-"
             "5d9c;}") == 0.5);

  SECTION("a second rendering by the same object is the same text") {
    std::string again;
    render_status({true, tick.node.sampled_realtime_ns}, {}, again);
    renderer.render(tick, {}, again);
    CHECK(again == page);
  }
}

TEST_CASE("each valid bit takes its own families away and nothing else") {
  const std::map<std::uint64_t, std::vector<std::string>> families = {
      {shm::kValidRunqueueWait,
       {"optipod_node_cpu_runqueue_wait_seconds", "optipod_container_cpu_runqueue_wait_seconds",
        "optipod_node_cpu_runqueue_waits_discarded_total"}},
      {shm::kValidPreemptions,
       {"optipod_node_cpu_preemptions_total", "optipod_container_cpu_preemptions_total"}},
      {shm::kValidSwitches,
       {"optipod_node_context_switches_total", "optipod_container_context_switches_total"}},
      {shm::kValidCpuTime,
       {"optipod_node_cpu_usage_seconds_total", "optipod_node_cpu_user_seconds_total",
        "optipod_node_cpu_system_seconds_total", "optipod_container_cpu_usage_seconds_total",
        "optipod_container_cpu_user_seconds_total", "optipod_container_cpu_system_seconds_total"}},
      {shm::kValidPressureCpu,
       {"optipod_node_pressure_cpu_waiting_seconds_total",
        "optipod_node_pressure_cpu_stalled_seconds_total",
        "optipod_container_pressure_cpu_waiting_seconds_total",
        "optipod_container_pressure_cpu_stalled_seconds_total"}},
      {shm::kValidPressureMemory,
       {"optipod_node_pressure_memory_waiting_seconds_total",
        "optipod_node_pressure_memory_stalled_seconds_total",
        "optipod_container_pressure_memory_waiting_seconds_total",
        "optipod_container_pressure_memory_stalled_seconds_total"}},
      {shm::kValidPressureIo,
       {"optipod_node_pressure_io_waiting_seconds_total",
        "optipod_node_pressure_io_stalled_seconds_total",
        "optipod_container_pressure_io_waiting_seconds_total",
        "optipod_container_pressure_io_stalled_seconds_total"}},
      {shm::kValidBlockIo,
       {"optipod_node_block_io_latency_seconds", "optipod_container_block_io_latency_seconds"}},
      {shm::kValidBlockBytes,
       {"optipod_node_block_io_bytes_total", "optipod_node_block_io_inflight",
        "optipod_container_block_io_bytes_total", "optipod_container_block_io_inflight"}},
      {shm::kValidInterfaces,
       {"optipod_node_network_received_bytes_total", "optipod_node_network_sent_bytes_total",
        "optipod_node_network_received_packets_total", "optipod_node_network_sent_packets_total",
        "optipod_node_network_receive_errors_total", "optipod_node_network_send_errors_total",
        "optipod_node_network_receive_drops_total", "optipod_node_network_send_drops_total"}},
      {shm::kValidPacketDrops, {"optipod_node_network_dropped_packets_total"}},
      {shm::kValidHardwareCounters,
       {"optipod_node_cpu_cycles_total", "optipod_node_cpu_instructions_total",
        "optipod_node_cpu_counted_seconds_total", "optipod_container_cpu_cycles_total",
        "optipod_container_cpu_instructions_total", "optipod_container_cpu_counted_seconds_total"}},
      {shm::kValidCacheMisses,
       {"optipod_node_cpu_llc_misses_total", "optipod_container_cpu_llc_misses_total"}},
      {shm::kValidCpuModes, {"optipod_node_cpu_seconds_total"}},
      {shm::kValidMemory,
       {"optipod_node_memory_total_bytes", "optipod_node_memory_available_bytes",
        "optipod_container_memory_usage_bytes"}},
      {shm::kValidVmEvents,
       {"optipod_node_page_faults_total", "optipod_node_memory_allocated_bytes_total"}},
      {shm::kValidTcpSegments,
       {"optipod_node_network_tcp_sent_segments_total",
        "optipod_node_network_tcp_retransmitted_segments_total"}},
      {shm::kValidPressureIrq, {"optipod_node_pressure_irq_stalled_seconds_total"}},
      {shm::kValidThrottling,
       {"optipod_container_cpu_throttled_seconds_total", "optipod_container_cpu_periods_total",
        "optipod_container_cpu_throttled_periods_total"}},
      {shm::kValidReclaimStall,
       {"optipod_node_memory_reclaim_stall_seconds",
        "optipod_container_memory_reclaim_stall_seconds"}},
      {shm::kValidOomKills, {"optipod_node_oom_kills_total", "optipod_container_oom_kills_total"}},
      {shm::kValidPageFaults,
       {"optipod_node_memory_page_faults_total", "optipod_container_memory_page_faults_total"}},
      {shm::kValidMemoryDetail,
       {"optipod_container_memory_working_set_bytes", "optipod_container_memory_anon_bytes",
        "optipod_container_memory_file_bytes"}},
      {shm::kValidMemoryLimit, {"optipod_container_memory_limit_bytes"}},
      {shm::kValidRefaults,
       {"optipod_node_memory_workingset_refaults_total",
        "optipod_container_memory_workingset_refaults_total"}},
      {shm::kValidFiles,
       {"optipod_node_filesystem_reads_total", "optipod_node_filesystem_read_bytes_total",
        "optipod_node_filesystem_writes_total", "optipod_node_filesystem_written_bytes_total",
        "optipod_container_filesystem_reads_total", "optipod_container_filesystem_read_bytes_total",
        "optipod_container_filesystem_writes_total",
        "optipod_container_filesystem_written_bytes_total"}},
      {shm::kValidTcpRetransmits,
       {"optipod_node_network_tcp_retransmits_total",
        "optipod_container_network_tcp_retransmits_total"}},
      {shm::kValidTcp,
       {"optipod_node_network_tcp_rtt_seconds", "optipod_node_network_tcp_received_bytes_total",
        "optipod_node_network_tcp_sent_bytes_total", "optipod_container_network_tcp_rtt_seconds",
        "optipod_container_network_tcp_received_bytes_total",
        "optipod_container_network_tcp_sent_bytes_total"}},
      {shm::kValidThrottledWait,
       {"optipod_node_cpu_throttled_wait_seconds_total", "optipod_node_cpu_throttled_waits_total",
        "optipod_node_cpu_throttled_switches_total",
        "optipod_container_cpu_throttled_wait_seconds_total",
        "optipod_container_cpu_throttled_waits_total",
        "optipod_container_cpu_throttled_switches_total"}},
      {shm::kValidMigrations,
       {"optipod_node_cpu_migrations_total", "optipod_container_cpu_migrations_total"}},
      {shm::kValidFarMigrations,
       {"optipod_node_cpu_far_migrations_total", "optipod_container_cpu_far_migrations_total"}},
      {shm::kValidAllocations, {"optipod_container_memory_allocated_bytes_total"}},
      {shm::kValidMissedRuns, {"optipod_agent_bpf_missed_runs_total"}},
      {shm::kValidNeighbours, {"optipod_node_cpu_preempted_by_untold_total"}},
      {shm::kValidSoftirq, {"optipod_node_softirq_seconds_total"}},
      {shm::kValidHardirq, {"optipod_node_hardirq_seconds_total"}},
      {shm::kValidQueueLengths, {"optipod_node_runqueue_length"}},
      {shm::kValidIrqStolen, {"optipod_container_irq_stolen_seconds_total"}},
      {shm::kValidLoad,
       {"optipod_node_load1", "optipod_node_load5", "optipod_node_load15",
        "optipod_node_tasks_runnable", "optipod_node_tasks_blocked"}},
  };
  shm::Tick tick = node_tick();
  tick.containers.push_back(container("shop", "cart", "app", 2));
  tick.devices.push_back(device("sda", 3));
  const std::size_t always = [&] {
    shm::Tick none = tick;
    none.node.valid = none.containers[0].valid = none.devices[0].valid = 0;
    return Scraped(page_of(none)).types().size();
  }();

  std::vector<std::uint64_t> cases = {0, kEverything};
  for (const auto& [bit, names] : families) cases.insert(cases.end(), {bit, kEverything & ~bit});
  std::mt19937_64 random(7);
  while (cases.size() < 1000) cases.push_back(random() & kEverything);
  for (const std::uint64_t valid : cases) {
    tick.node.valid = tick.containers[0].valid = tick.devices[0].valid = valid;
    const std::string page = page_of(tick);
    std::size_t wrong = 0, expected = always;
    for (const auto& [bit, names] : families) {
      for (const auto& name : names) {
        const bool there = page.find("# TYPE " + name + " ") != std::string::npos;
        wrong += there != ((valid & bit) != 0);
        expected += (valid & bit) != 0;
      }
    }
    // The one family that takes two bits: that drops are counted, and what of.
    const bool drops = (valid & shm::kValidDropped) != 0 &&
                       (valid & (shm::kValidReclaimStall | shm::kValidShortLived | shm::kValidTcp |
                                 shm::kValidFiles | shm::kValidDroppedRequests)) != 0;
    wrong += drops != (page.find("# TYPE optipod_agent_dropped_total ") != std::string::npos);
    expected += drops ? 1 : 0;
    std::size_t types = 0;
    for (auto at = page.find("# TYPE"); at != std::string::npos; at = page.find("# TYPE", at + 1)) {
      ++types;
    }
    if (wrong != 0 || types != expected) {
      CAPTURE(valid);
      CHECK(wrong == 0);
      CHECK(types == expected);
    }
  }
}

TEST_CASE("one container lacking a value does not take it from another") {
  shm::Tick tick = node_tick();
  tick.containers.push_back(container("a", "p", "c", 1));
  tick.containers.push_back(container("b", "p", "c", 2));
  tick.containers[0].valid = 0;
  const Scraped s(page_of(tick));
  CHECK_FALSE(s.has("optipod_container_memory_usage_bytes{container=c;namespace=a;pod=p;}"));
  CHECK(s.at("optipod_container_memory_usage_bytes{container=c;namespace=b;pod=p;}") == 2 << 20);
  CHECK(s.family("optipod_container_info"));
}

TEST_CASE("names from anywhere cannot break the page") {
  shm::Tick tick = node_tick();
  const std::string evil = "a\"b\\c\nd{e}=,# \xff\xfe \xc0\xaf \xed\xa0\x80 \xf0\x9f\x90\xa7";
  tick.containers.push_back(container("", "", "/" + evil, 1));
  tick.containers.push_back(container("ns\n", "pod\"", "c\\", 2));
  tick.containers.push_back(container("", "", std::string(256, '\xff'), 3));  // no NUL at all
  tick.devices.push_back(device(std::string(32, '"'), 1));
  set(tick.node.node_name, std::string(256, '\n'));
  set(tick.agent.version, evil);
  set(tick.agent.features[0].name, "\n# TYPE x");
  set(tick.agent.programs[0].name, std::string(32, '\\'));
  set(tick.node.drops[0].reason, "a\"} 1\n");
  tick.node.drop_count = ~0ull;
  for (std::size_t i = 2; i < shm::kDropReasonsKept; ++i)
    set(tick.node.drops[i].reason, std::string(i, '"'));
  const std::string page = page_of(tick);
  const Scraped s(page);
  CHECK(s.at("optipod_container_memory_usage_bytes{container=c\\;namespace=ns\n;pod=pod\";}") ==
        2 << 20);
  CHECK(
      s.has("optipod_node_block_io_inflight{device=" + std::string(32, '"') + ";operation=read;}"));
  CHECK(page.find('\xff') == std::string::npos);
  CHECK(page.find("\xf0\x9f\x90\xa7") != std::string::npos);  // what is UTF-8 stays
}

TEST_CASE("equal labels are one series: the newer record, and the other is counted") {
  shm::Tick tick = node_tick();
  for (const std::uint64_t seed : {3u, 8u, 5u}) {
    tick.containers.push_back(container("shop", "cart", "app", seed));
  }
  tick.devices.push_back(device("sda", 1));
  tick.devices.push_back(device("sda", 2));
  tick.agent.programs[1] = tick.agent.programs[0];
  tick.agent.features[1] = tick.agent.features[0];
  std::size_t hidden = 0;
  const Scraped s(page_of(tick, &hidden));
  CHECK(hidden == 2 + 1 + 1 + 1);
  CHECK(s.at("optipod_container_memory_usage_bytes{container=app;namespace=shop;pod=cart;}") ==
        8 << 20);
  CHECK(s.at("optipod_agent_containers{}") == 3);

  SECTION("bytes that are no UTF-8 are replaced, and may so become equal") {
    tick.containers = {container("", "", "/\xfe", 1), container("", "", "/\xff", 2)};
    const Scraped again(page_of(tick, &hidden));
    CHECK(hidden == 1 + 3);
  }
}

TEST_CASE("numbers outside their range are cut") {
  shm::Tick tick = node_tick();
  tick.agent.program_count = tick.agent.feature_count = UINT64_MAX;
  for (auto& bucket : tick.node.cpu.runqueue_wait.bucket) bucket = UINT64_MAX;
  const Scraped s(page_of(tick));
  CHECK(s.family("optipod_agent_feature_enabled"));
}

TEST_CASE("a Kubernetes container has an info series, another cgroup has none") {
  shm::Tick tick = node_tick();
  tick.containers.push_back(container("shop", "cart", "app", 2));
  tick.containers.push_back(container("", "", "/user.slice", 3));
  const Scraped s(page_of(tick));
  CHECK(s.has("optipod_container_info{container=app;container_id=" + std::string(64, 'a') +
              ";namespace=shop;pod=cart;pod_uid=11111111-2222-3333-4444-555555555555;"
              "qos=burstable;}"));
  CHECK_FALSE(
      s.has("optipod_container_info{container=/user.slice;container_id=;namespace=;pod=;"
            "pod_uid=;qos=;}"));
  CHECK(s.at("optipod_container_memory_usage_bytes{container=/user.slice;namespace=;pod=;}") ==
        3 << 20);
}

TEST_CASE("eBPF run times are absent while the kernel does not count them") {
  shm::Tick tick = node_tick();
  CHECK(Scraped(page_of(tick)).at("optipod_agent_bpf_runs_total{program=on_switch;}") == 1000);
  tick.agent.programs[0].runs = 0;
  const Scraped s(page_of(tick));
  CHECK_FALSE(s.family("optipod_agent_bpf_runs_total"));
  CHECK_FALSE(s.family("optipod_agent_bpf_run_seconds_total"));
}

TEST_CASE("250 containers, all signals") {
  shm::Tick tick = node_tick();
  for (std::uint64_t i = 0; i < 250; ++i) {
    tick.containers.push_back(
        container("namespace-" + std::to_string(i % 10), "pod-" + std::to_string(i), "app", i));
  }
  for (std::uint64_t i = 0; i < 4; ++i) tick.devices.push_back(device("sd" + std::to_string(i), i));
  const Scraped s(page_of(tick));
  // 3 histograms of 24 lines and 19 single values each.
  CHECK(s.size() > 250 * (3 * 24 + 19));
  for (std::uint64_t i = 0; i < 250; ++i) {
    CHECK(s.at("optipod_container_cpu_usage_seconds_total{container=app;namespace=namespace-" +
               std::to_string(i % 10) + ";pod=pod-" + std::to_string(i) + ";}") ==
          static_cast<double>(i) / 1000);
  }
}

TEST_CASE("the status of an agent that is gone") {
  std::string page;
  render_status({false, 1'500'000'000}, {}, page);
  const Scraped gone(page);
  CHECK(gone.at("optipod_agent_up{}") == 0);
  CHECK(gone.at("optipod_sample_timestamp_seconds{}") == 1.5);
  page.clear();
  render_status({false, std::nullopt}, {}, page);
  CHECK(Scraped(page).size() == 1);
}
