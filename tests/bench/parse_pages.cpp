// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/parse_pages.hpp"

#include <string_view>

#include <fmt/format.h>

#include "agent/exporter/render.hpp"
#include "common/text/exposition.hpp"
#include "tests/agent/exporter/fabricate.hpp"

namespace optipod::bench {
namespace {

using text::MetricType;

/// Values as they stand on pages: whole numbers of all lengths, seconds with a few decimals, and
/// quotients with all 17 digits; others with each `round`.
class Values {
 public:
  explicit Values(std::uint64_t round) : state_(round) {}
  double whole() {
    step();
    return static_cast<double>(state_ >> (24 + (state_ >> 8) % 40));
  }
  double seconds() {
    step();
    return static_cast<double>(state_ >> 32) / 100;
  }
  double quotient() {
    step();
    return static_cast<double>(state_ >> 24) / 3e9;
  }

 private:
  void step() { state_ = state_ * 6364136223846793005U + 1442695040888963407U; }
  std::uint64_t state_;
};

std::string labels(std::initializer_list<std::pair<std::string_view, std::string>> pairs) {
  std::string out;
  for (const auto& [name, value] : pairs) text::append_label(out, name, value);
  return out;
}

std::string node_exporter(std::uint64_t round) {
  std::string page;
  text::ExpositionWriter out(page);
  Values values(round);
  out.family("node_cpu_seconds_total", MetricType::kCounter,
             "Seconds the CPUs spent in each mode.");
  for (int cpu = 0; cpu < 16; ++cpu) {
    for (const char* mode : {"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"})
      out.sample(labels({{"cpu", std::to_string(cpu)}, {"mode", mode}}), values.seconds());
  }
  for (const char* what :
       {"reads_completed_total", "reads_merged_total", "read_bytes_total", "writes_completed_total",
        "written_bytes_total", "io_time_seconds_total"}) {
    out.family(fmt::format("node_disk_{}", what), MetricType::kCounter,
               "The total number of what the name says, as /proc/diskstats counts it.");
    for (const char* disk : {"dm-0", "nvme0n1", "nvme1n1", "sda", "sdb"})
      out.sample(labels({{"device", disk}}), values.whole());
  }
  for (const char* what : {"avail_bytes", "device_error", "files", "files_free", "free_bytes",
                           "readonly", "size_bytes"}) {
    out.family(fmt::format("node_filesystem_{}", what), MetricType::kGauge,
               fmt::format("Filesystem {} of this mount point.", what));
    for (const char* mount : {"/", "/boot/efi", "/run", "/run/lock", "/var/lib/containers"})
      out.sample(
          labels({{"device", "/dev/mapper/vg0-root"}, {"fstype", "ext4"}, {"mountpoint", mount}}),
          values.whole());
  }
  for (int i = 0; i < 50; ++i) {
    const std::string name = fmt::format("node_memory_Kind{}_bytes", i);
    out.family(name, MetricType::kGauge, fmt::format("Memory information field Kind{}_bytes.", i));
    out.sample("", values.whole());
  }
  for (int i = 0; i < 30; ++i) {
    out.family(fmt::format("node_network_kind{}_total", i), MetricType::kCounter,
               fmt::format("Network device statistic kind{}.", i));
    for (const char* device : {"eth0", "lo", "cni0", "veth8c2b1f7a"})
      out.sample(labels({{"device", device}}), values.whole());
  }
  out.family("node_scrape_collector_duration_seconds", MetricType::kGauge,
             "node_exporter: Duration of a collector scrape.");
  for (int i = 0; i < 45; ++i)
    out.sample(labels({{"collector", fmt::format("collector{}", i)}}), values.quotient());
  return page;
}

std::string long_labels(std::uint64_t round) {
  std::string page;
  text::ExpositionWriter out(page);
  Values values(round);
  for (int metric = 0; metric < 20; ++metric) {
    out.family(fmt::format("container_resource_kind{}_seconds_total", metric), MetricType::kCounter,
               "Cumulative time that the container has used of this resource, in seconds.");
    for (int pod = 0; pod < 250; ++pod) {
      const std::string id = fmt::format("{:08x}_9d3c_4e1f_a7b2_{:012x}",
                                         static_cast<unsigned>(pod) * 2654435761U, pod);
      const std::string of = labels(
          {{"container", "application"},
           {"id",
            fmt::format("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/"
                        "cri-containerd-{:064x}.scope",
                        id, pod)},
           {"image", "registry.example.com/team/application-server:v1.27.3-20240115"},
           {"name", fmt::format("{:064x}", pod)},
           {"namespace", fmt::format("production-{}", pod % 20)},
           {"pod", fmt::format("application-server-7c9f8d6b5-x{:04}", pod)}});
      out.sample(of, values.quotient(), 1'700'000'000'000 + static_cast<std::int64_t>(round));
    }
  }
  return page;
}

std::string our_exporter(std::uint64_t round) {
  using namespace exporter::testing;
  shm::Tick tick = node_tick();
  for (std::uint64_t i = 0; i < 100; ++i) {
    tick.containers.push_back(container("namespace-" + std::to_string(i % 10),
                                        "deployment-7c9f8d6b5-x" + std::to_string(i), "app",
                                        (1'000'003 + round) * (i + 1)));
  }
  exporter::Renderer renderer;
  std::string page;
  renderer.render(tick, {}, page);
  return page;
}

std::vector<std::string> scrapes(std::string (*make)(std::uint64_t), std::uint64_t count) {
  std::vector<std::string> pages;
  for (std::uint64_t round = 1; round <= count; ++round) pages.push_back(make(round));
  return pages;
}

}  // namespace

std::vector<Page> parse_pages() {
  return {{"node_exporter", scrapes(node_exporter, 32)},
          {"optipod_exporter", scrapes(our_exporter, 2)},
          {"long_labels", scrapes(long_labels, 2)}};
}

}  // namespace optipod::bench
