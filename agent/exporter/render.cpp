// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/render.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>

#include "agent/exporter/page.hpp"

namespace optipod::exporter {
namespace {

using text::MetricType;

constexpr std::array<std::string_view, shm::kPreemptedByCount> kBy = {
    R"(by="self")", R"(by="other")", R"(by="system")"};
constexpr std::array<std::string_view, shm::kSwitchKinds> kKind = {R"(kind="voluntary")",
                                                                   R"(kind="involuntary")"};
constexpr std::array<std::string_view, shm::kOperations> kOperation = {R"(operation="read")",
                                                                       R"(operation="write")"};
constexpr std::array<std::string_view, shm::kCpuModes> kMode = {
    R"(mode="user")",   R"(mode="nice")", R"(mode="system")",  R"(mode="idle")",
    R"(mode="iowait")", R"(mode="irq")",  R"(mode="softirq")", R"(mode="steal")"};

/// Text of a NUL-padded field; one without any NUL ends at its size.
template <std::size_t N>
std::string_view view(const char (&field)[N]) {
  return {field, strnlen(field, N)};
}

/// What a node and a container have in common, for one of them.
struct Subject {
  std::string_view labels;
  std::uint64_t valid;
  const shm::CpuStats* cpu;
  const shm::CpuTime* cpu_time;
  const shm::Pressure* pressure;
};

/// Block I/O of a device or a container.
struct Disk {
  std::string_view labels;
  const shm::BlockStats* block;
};

void render_cpu(Page& page, std::string_view scope, std::span<const Subject> subjects) {
  page.family(scope, "cpu_runqueue_wait_seconds", MetricType::kHistogram,
              "Time a runnable task waited for a CPU, per dispatch.");
  for (const auto& s : subjects) {
    if (s.valid & shm::kValidRunqueueWait) page.histogram(s.labels, {}, s.cpu->runqueue_wait);
  }
  page.family(scope, "cpu_preemptions_total", MetricType::kCounter,
              "Running tasks displaced by a task of the same cgroup (self), of another cgroup "
              "(other) or by a kernel thread (system).");
  for (const auto& s : subjects) {
    if (!(s.valid & shm::kValidPreemptions)) continue;
    for (std::size_t i = 0; i < kBy.size(); ++i) {
      page.sample(s.labels, kBy[i], s.cpu->preemptions[i]);
    }
  }
  page.family(scope, "context_switches_total", MetricType::kCounter,
              "Context switches away from a task that blocked (voluntary) or could have gone on "
              "(involuntary).");
  for (const auto& s : subjects) {
    if (!(s.valid & shm::kValidSwitches)) continue;
    for (std::size_t i = 0; i < kKind.size(); ++i) {
      page.sample(s.labels, kKind[i], s.cpu->switches[i]);
    }
  }
  page.family(scope, "cpu_usage_seconds_total", MetricType::kCounter, "CPU time used.");
  for (const auto& s : subjects) {
    if (s.valid & shm::kValidCpuTime) page.sample_seconds(s.labels, {}, s.cpu_time->usage_ns);
  }
}

void render_pressure(Page& page, std::string_view scope, std::span<const Subject> subjects) {
  struct Kind {
    std::string_view waiting, stalled;
    std::uint64_t valid;
    std::string_view help_waiting, help_stalled;
  };
  static constexpr std::array<Kind, shm::kResources> kKinds = {{
      {"pressure_cpu_waiting_seconds_total", "pressure_cpu_stalled_seconds_total",
       shm::kValidPressureCpu,
       "Time some task waited for a CPU (PSI). A CPU limit of its own counts here too.",
       "Time all tasks waited for a CPU (PSI)."},
      {"pressure_memory_waiting_seconds_total", "pressure_memory_stalled_seconds_total",
       shm::kValidPressureMemory, "Time some task waited for memory (PSI).",
       "Time all tasks waited for memory (PSI)."},
      {"pressure_io_waiting_seconds_total", "pressure_io_stalled_seconds_total",
       shm::kValidPressureIo, "Time some task waited for I/O (PSI).",
       "Time all tasks waited for I/O (PSI)."},
  }};
  for (std::size_t r = 0; r < kKinds.size(); ++r) {
    const Kind& kind = kKinds[r];
    page.family(scope, kind.waiting, MetricType::kCounter, kind.help_waiting);
    for (const auto& s : subjects) {
      if (s.valid & kind.valid) page.sample_seconds(s.labels, {}, s.pressure->waiting_ns[r]);
    }
    page.family(scope, kind.stalled, MetricType::kCounter, kind.help_stalled);
    for (const auto& s : subjects) {
      if (s.valid & kind.valid) page.sample_seconds(s.labels, {}, s.pressure->stalled_ns[r]);
    }
  }
}

void render_block(Page& page, std::string_view scope, std::span<const Disk> disks) {
  page.family(scope, "block_io_latency_seconds", MetricType::kHistogram,
              "Time from the submission of a block request to its completion.");
  for (const auto& d : disks) {
    for (std::size_t op = 0; op < kOperation.size(); ++op) {
      page.histogram(d.labels, kOperation[op], d.block->latency[op]);
    }
  }
  page.family(scope, "block_io_bytes_total", MetricType::kCounter,
              "Bytes of completed block requests.");
  for (const auto& d : disks) {
    for (std::size_t op = 0; op < kOperation.size(); ++op) {
      page.sample(d.labels, kOperation[op], d.block->bytes[op]);
    }
  }
}

/// Sorts records by their labels, keeps the best of equal ones in front, and returns how many of
/// them are to be shown. Row needs `labels`.
template <typename Row, typename Better>
std::size_t unique_labels(std::span<Row> rows, Better better) {
  std::sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    const int order = a.labels.compare(b.labels);
    return order != 0 ? order < 0 : better(a, b);
  });
  const auto end = std::unique(rows.begin(), rows.end(),
                               [](const Row& a, const Row& b) { return a.labels == b.labels; });
  return static_cast<std::size_t>(end - rows.begin());
}

void render_node(Page& page, const shm::Tick& tick) {
  const shm::NodeRecord& node = tick.node;
  std::string labels;
  text::append_label(labels, "node", view(node.node_name));
  text::append_label(labels, "kernel", view(node.kernel_release));
  text::append_label(labels, "cgroup_root", view(node.cgroup_root));
  text::append_label(labels, "agent_version", view(tick.agent.version));
  page.family("node", "info", MetricType::kGauge, "What is measured, and by which agent.");
  page.sample(labels, {}, 1);
  page.family("node", "cpus", MetricType::kGauge, "CPUs the node consists of.");
  page.sample({}, {}, node.cpus);

  const Subject subject{{}, node.valid, &node.cpu, &node.cpu_time, &node.pressure};
  render_cpu(page, "node", {&subject, 1});
  page.family("node", "cpu_runqueue_waits_discarded_total", MetricType::kCounter,
              "Waits not counted because the clocks of two CPUs disagreed.");
  if (node.valid & shm::kValidRunqueueWait) page.sample({}, {}, node.cpu.discarded);
  page.family("node", "cpu_seconds_total", MetricType::kCounter,
              "Time the node's CPUs spent in each mode.");
  if (node.valid & shm::kValidCpuModes) {
    for (std::size_t i = 0; i < kMode.size(); ++i) {
      page.sample_seconds({}, kMode[i], node.cpu_mode_ns[i]);
    }
  }
  render_pressure(page, "node", {&subject, 1});
  page.family("node", "pressure_irq_stalled_seconds_total", MetricType::kCounter,
              "Time all tasks were held up by interrupts (PSI).");
  if (node.valid & shm::kValidPressureIrq) {
    page.sample_seconds({}, {}, node.pressure_irq_stalled_ns);
  }
  if (node.valid & shm::kValidMemory) {
    page.family("node", "memory_total_bytes", MetricType::kGauge, "Memory the node has.");
    page.sample({}, {}, node.memory_total_bytes);
    page.family("node", "memory_available_bytes", MetricType::kGauge,
                "Memory that can be given out without swapping.");
    page.sample({}, {}, node.memory_available_bytes);
  }
  const auto counter = [&](std::uint64_t valid, std::string_view name, std::string_view help,
                           std::uint64_t value) {
    page.family("node", name, MetricType::kCounter, help);
    if (node.valid & valid) page.sample({}, {}, value);
  };
  counter(shm::kValidVmEvents, "memory_allocated_bytes_total",
          "Memory handed out by the kernel's page allocator.", node.memory_allocated_bytes);
  counter(shm::kValidVmEvents, "page_faults_total", "Page faults, minor and major.",
          node.page_faults);
  counter(shm::kValidTcpSegments, "network_tcp_sent_segments_total",
          "TCP segments sent from the host's network namespace, retransmitted ones included.",
          node.tcp_sent_segments);
  counter(shm::kValidTcpSegments, "network_tcp_retransmitted_segments_total",
          "TCP segments sent again from the host's network namespace.",
          node.tcp_retransmitted_segments);
}

std::size_t render_devices(Page& page, const shm::Tick& tick) {
  struct Device {
    std::string labels;
    const shm::DeviceRecord* record;
  };
  std::vector<Device> devices;
  devices.reserve(tick.devices.size());
  for (const auto& record : tick.devices) {
    if (!(record.valid & shm::kValidBlockIo)) continue;
    std::string labels;
    text::append_label(labels, "device", view(record.name));
    devices.push_back({std::move(labels), &record});
  }
  const std::size_t shown = unique_labels(std::span(devices), [](const Device& a, const Device& b) {
    return std::pair(a.record->major, a.record->minor) <
           std::pair(b.record->major, b.record->minor);
  });
  std::vector<Disk> disks;
  disks.reserve(shown);
  for (std::size_t i = 0; i < shown; ++i) {
    disks.push_back({devices[i].labels, &devices[i].record->block});
  }
  render_block(page, "node", disks);
  page.family("node", "block_io_inflight", MetricType::kGauge,
              "Block requests submitted and not yet completed.");
  for (const auto& d : disks) {
    for (std::size_t op = 0; op < kOperation.size(); ++op) {
      page.sample(d.labels, kOperation[op], d.block->inflight[op]);
    }
  }
  return devices.size() - shown;
}

void render_throttling(Page& page, std::span<const Subject> subjects,
                       std::span<const shm::ContainerRecord* const> records) {
  const auto each = [&](auto&& write) {
    for (std::size_t i = 0; i < records.size(); ++i) {
      if (records[i]->valid & shm::kValidThrottling) write(subjects[i].labels, *records[i]);
    }
  };
  page.family("container", "cpu_throttled_seconds_total", MetricType::kCounter,
              "Time the container was held back by its own CPU limit.");
  each([&](auto labels, const auto& r) { page.sample_seconds(labels, {}, r.cpu_throttled_ns); });
  page.family("container", "cpu_periods_total", MetricType::kCounter,
              "Enforcement periods of the CPU limit in which the container ran.");
  each([&](auto labels, const auto& r) { page.sample(labels, {}, r.cpu_periods); });
  page.family("container", "cpu_throttled_periods_total", MetricType::kCounter,
              "Enforcement periods in which the CPU limit held the container back.");
  each([&](auto labels, const auto& r) { page.sample(labels, {}, r.cpu_throttled_periods); });
}

/// Programs or features whose labels are equal would be one series twice: the first is shown.
std::size_t render_agent_lists(Page& page, const shm::AgentRecord& agent) {
  struct Row {
    std::string labels;
    std::size_t index;
  };
  const auto by_index = [](const Row& a, const Row& b) { return a.index < b.index; };
  std::vector<Row> features, programs;
  for (std::size_t i = 0; i < std::min<std::size_t>(agent.feature_count, agent.kMaxFeatures); ++i) {
    std::string labels;
    text::append_label(labels, "feature", view(agent.features[i].name));
    text::append_label(labels, "source", view(agent.features[i].source));
    features.push_back({std::move(labels), i});
  }
  for (std::size_t i = 0; i < std::min<std::size_t>(agent.program_count, agent.kMaxPrograms); ++i) {
    if (agent.programs[i].runs == 0) continue;  // the kernel's bpf stats are off
    std::string labels;
    text::append_label(labels, "program", view(agent.programs[i].name));
    programs.push_back({std::move(labels), i});
  }
  std::size_t hidden = features.size() + programs.size();
  features.resize(unique_labels(std::span(features), by_index));
  programs.resize(unique_labels(std::span(programs), by_index));
  hidden -= features.size() + programs.size();

  page.family("agent", "feature_enabled", MetricType::kGauge,
              "What this kernel gives and from where; when 0, source says why not.");
  for (const auto& row : features) {
    page.sample(row.labels, {}, agent.features[row.index].enabled != 0 ? 1 : 0);
  }
  page.family("agent", "bpf_runs_total", MetricType::kCounter,
              "Runs of an eBPF program while kernel.bpf_stats_enabled was on.");
  for (const auto& row : programs) page.sample(row.labels, {}, agent.programs[row.index].runs);
  page.family("agent", "bpf_run_seconds_total", MetricType::kCounter,
              "Time spent in an eBPF program while kernel.bpf_stats_enabled was on.");
  for (const auto& row : programs) {
    page.sample_seconds(row.labels, {}, agent.programs[row.index].run_ns);
  }
  return hidden;
}

void render_agent(Page& page, const shm::Tick& tick) {
  const shm::AgentRecord& agent = tick.agent;
  page.family("agent", "cpu_seconds_total", MetricType::kCounter,
              "CPU time of the agent process itself.");
  page.sample_seconds({}, R"(mode="user")", agent.cpu_user_ns);
  page.sample_seconds({}, R"(mode="system")", agent.cpu_system_ns);
  const auto one = [&](std::string_view name, MetricType type, std::string_view help,
                       std::uint64_t value) {
    page.family("agent", name, type, help);
    page.sample({}, {}, value);
  };
  one("resident_memory_bytes", MetricType::kGauge, "Resident memory of the agent process.",
      agent.resident_bytes);
  page.family("agent", "tick_duration_seconds", MetricType::kGauge,
              "Time the agent worked for its last tick.");
  page.sample_seconds({}, {}, agent.tick_duration_ns);
  one("ticks_total", MetricType::kCounter, "Ticks the agent published.", tick.node.tick + 1);
  one("ticks_missed_total", MetricType::kCounter,
      "Ticks left out because their time had passed before they began.", agent.ticks_missed);
  one("errors_total", MetricType::kCounter, "Reads of the agent that failed.", agent.errors);
  one("containers", MetricType::kGauge, "Containers and other leaf cgroups with their own series.",
      tick.containers.size());
  one("containers_cut", MetricType::kGauge, "Cgroups without own series: over --max-containers.",
      tick.node.containers_cut);
}

}  // namespace

std::size_t Renderer::collect(const shm::Tick& tick) {
  containers_.resize(tick.containers.size());
  for (std::size_t i = 0; i < containers_.size(); ++i) {
    const shm::ContainerRecord& record = tick.containers[i];
    std::string& labels = containers_[i].labels;
    labels.clear();
    text::append_label(labels, "namespace", view(record.namespace_));
    text::append_label(labels, "pod", view(record.pod));
    text::append_label(labels, "container", view(record.container));
    containers_[i].record = &record;
  }
  shown_ = unique_labels(std::span(containers_), [](const Container& a, const Container& b) {
    return std::pair(a.record->first_tick, a.record->cgroup_id) >
           std::pair(b.record->first_tick, b.record->cgroup_id);
  });
  return containers_.size() - shown_;
}

std::size_t Renderer::render(const shm::Tick& tick, std::string& out) {
  Page page(out);
  std::size_t hidden = collect(tick);
  render_node(page, tick);
  hidden += render_devices(page, tick);

  std::vector<Subject> subjects;
  std::vector<const shm::ContainerRecord*> records;
  std::vector<Disk> disks;
  subjects.reserve(shown_);
  records.reserve(shown_);
  for (const auto& c : std::span(containers_).first(shown_)) {
    const shm::ContainerRecord& r = *c.record;
    subjects.push_back({c.labels, r.valid, &r.cpu, &r.cpu_time, &r.pressure});
    records.push_back(&r);
    if (r.valid & shm::kValidBlockIo) disks.push_back({c.labels, &r.block});
  }
  page.family("container", "info", MetricType::kGauge, "Identity of a Kubernetes container.");
  for (std::size_t i = 0; i < shown_; ++i) {
    if (view(records[i]->namespace_).empty()) continue;
    std::string more;
    text::append_label(more, "pod_uid", view(records[i]->pod_uid));
    text::append_label(more, "container_id", view(records[i]->container_id));
    text::append_label(more, "qos", view(records[i]->qos));
    page.sample(subjects[i].labels, more, 1);
  }
  render_cpu(page, "container", subjects);
  render_throttling(page, subjects, records);
  render_pressure(page, "container", subjects);
  render_block(page, "container", disks);
  page.family("container", "memory_usage_bytes", MetricType::kGauge,
              "Memory charged to the container, page cache included.");
  for (std::size_t i = 0; i < shown_; ++i) {
    if (records[i]->valid & shm::kValidMemory) {
      page.sample(subjects[i].labels, {}, records[i]->memory_current_bytes);
    }
  }
  hidden += render_agent_lists(page, tick.agent);
  render_agent(page, tick);
  return hidden;
}

void render_status(bool up, std::optional<std::uint64_t> sampled_realtime_ns, std::string& out) {
  Page page(out);
  page.family("agent", "up", MetricType::kGauge,
              "1 while the agent publishes; 0: gone, hung, closed or unreadable.");
  page.sample({}, {}, up ? 1 : 0);
  page.family("sample", "timestamp_seconds", MetricType::kGauge,
              "Unix time at which the values on this page were read from the kernel.");
  if (sampled_realtime_ns) page.sample_seconds({}, {}, *sampled_realtime_ns);
}

}  // namespace optipod::exporter
