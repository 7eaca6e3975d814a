// SPDX-License-Identifier: Apache-2.0
// Ticks as an agent would publish them, with values a test can foresee.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "shm/tick.hpp"

namespace optipod::exporter::testing {

inline constexpr std::uint64_t kEverything = ~0ull;

template <std::size_t N>
void set(char (&field)[N], std::string_view text) {
  std::memset(field, 0, N);
  std::memcpy(field, text.data(), std::min(N, text.size()));
}

inline shm::Histogram histogram(std::uint64_t seed) {
  shm::Histogram h{};
  for (std::size_t i = 0; i < shm::kHistogramBuckets; ++i) h.bucket[i] = seed + i;
  h.sum_ns = seed * 1'000'000'007;
  return h;
}

inline shm::CpuStats cpu_stats(std::uint64_t seed) {
  return {.runqueue_wait = histogram(seed),
          .preemptions = {seed + 1, seed + 2, seed + 3},
          .switches = {seed + 4, seed + 5},
          .discarded = seed + 6};
}

inline shm::Pressure pressure(std::uint64_t seed) {
  return {.waiting_ns = {seed + 10, seed + 20, seed + 30},
          .stalled_ns = {seed + 1, seed + 2, seed + 3}};
}

inline shm::BlockStats block_stats(std::uint64_t seed) {
  return {.latency = {histogram(seed), histogram(seed + 1)},
          .bytes = {seed * 4096, seed * 512},
          .inflight = {seed % 7, seed % 5}};
}

inline shm::MemoryStats memory_stats(std::uint64_t seed) {
  return {.reclaim_stall = {histogram(seed + 2), histogram(seed + 3)},
          .oom_kills = seed,
          .page_faults = {seed * 1000, seed * 10}};
}

inline shm::FileStats file_stats(std::uint64_t seed) {
  return {.calls = {seed * 30, seed * 20}, .bytes = {seed * 30'000, seed * 8'000}};
}

inline shm::TcpStats tcp_stats(std::uint64_t seed) {
  return {.rtt = histogram(seed + 4),
          .bytes = {seed * 70'000, seed * 50'000},
          .retransmitted_segments = seed * 3};
}

inline shm::HardwareCounters hardware(std::uint64_t seed) {
  return {.cycles = seed * 9'000'000,
          .instructions = seed * 6'000'000,
          .cache_misses = seed * 4'000,
          .counted_ns = seed * 3'000'000};
}

inline shm::ContainerRecord container(std::string_view ns, std::string_view pod,
                                      std::string_view name, std::uint64_t seed) {
  shm::ContainerRecord r{};
  r.valid = kEverything;
  r.cgroup_id = 1000 + seed;
  r.first_tick = seed;
  r.cpu = cpu_stats(seed);
  r.cpu_time = {seed * 1'000'000, seed * 600'000, seed * 400'000};
  r.cpu_throttled_ns = seed * 250'000'000;
  r.cpu_periods = seed + 40;
  r.cpu_throttled_periods = seed + 20;
  r.pressure = pressure(seed * 100);
  r.block = block_stats(seed);
  r.memory_current_bytes = seed << 20;
  r.memory = memory_stats(seed);
  r.memory_use = {.anon_bytes = seed << 18,
                  .file_bytes = seed << 19,
                  .working_set_bytes = seed * 700'000,
                  .limit_bytes = seed << 21,
                  .refaults_anon = seed + 1,
                  .refaults_file = seed + 2};
  r.files = file_stats(seed);
  r.tcp = tcp_stats(seed);
  r.hardware = hardware(seed);
  r.far_migrations[shm::kToOtherCache] = seed * 6;
  r.far_migrations[shm::kToOtherNode] = seed * 2;
  r.memory_allocated_bytes = seed << 22;
  set(r.namespace_, ns);
  set(r.pod, pod);
  set(r.container, name);
  if (!ns.empty()) {
    set(r.pod_uid, "11111111-2222-3333-4444-555555555555");
    set(r.container_id, std::string(64, 'a'));
    set(r.qos, "burstable");
  }
  return r;
}

inline shm::DeviceRecord device(std::string_view name, std::uint64_t seed) {
  shm::DeviceRecord r{};
  r.valid = kEverything;
  r.major = 8;
  r.minor = seed;
  r.block = block_stats(seed);
  set(r.name, name);
  return r;
}

/// A node with every value, no container and no device.
inline shm::Tick node_tick() {
  shm::Tick tick;
  shm::NodeRecord& n = tick.node;
  n.tick = 41;
  n.sampled_boottime_ns = 5'000'000'000;
  n.sampled_realtime_ns = 1'790'000'000'250'000'001;
  n.valid = kEverything;
  n.containers_cut = 3;
  n.cpus = 2;
  n.cpu = cpu_stats(5);
  n.cpu_time = {12'345'678'901, 8'000'000'000, 4'345'678'901};
  for (std::size_t i = 0; i < shm::kCpuModes; ++i) n.cpu_mode_ns[i] = (i + 1) * 1'500'000'000;
  n.pressure = pressure(1000);
  n.pressure_irq_stalled_ns = 77;
  n.memory_total_bytes = 8ull << 30;
  n.memory_available_bytes = 3ull << 30;
  n.page_faults = 31'000;
  n.memory_allocated_bytes = 7ull << 30;
  n.tcp_sent_segments = 2'000;
  n.tcp_retransmitted_segments = 14;
  n.memory = memory_stats(9);
  n.files = file_stats(9);
  n.tcp = tcp_stats(9);
  for (std::size_t kind = 0; kind < shm::kInterfaceKinds; ++kind) {
    const std::uint64_t k = kind + 1;
    n.interfaces[kind] = {.bytes = {k * 9'000'000, k * 5'000'000},
                          .packets = {k * 7'000, k * 6'000},
                          .errors = {k * 2, k},
                          .drops = {k * 4, k * 3}};
  }
  n.hardware = hardware(9);
  n.refaults_anon = 15;
  n.refaults_file = 16;
  n.far_migrations[shm::kToOtherCache] = 40;
  n.far_migrations[shm::kToOtherNode] = 7;
  for (std::size_t i = 0; i < shm::kQueueBuckets; ++i) n.queue_lengths.looks[i] = 90 - 7 * i;
  n.queue_lengths.waiting = 1'234;
  n.drop_count = 2;
  set(n.drops[0].reason, "socket_rcvbuff");
  n.drops[0].packets = 12;
  set(n.drops[1].reason, "netfilter_drop");
  n.drops[1].packets = 5;
  set(n.node_name, "node-1");
  set(n.kernel_release, "6.1.0-18-amd64");
  set(n.cgroup_root, "/");
  shm::AgentRecord& a = tick.agent;
  a.cpu_user_ns = 120'000'000;
  a.cpu_system_ns = 30'000'000;
  a.resident_bytes = 9 << 20;
  a.tick_duration_ns = 350'000;
  a.ticks_missed = 1;
  a.errors = 2;
  a.container_cuts[shm::kOverLimit] = 6;
  a.container_cuts[shm::kShortLived] = 11;
  a.program_count = 2;
  set(a.programs[0].name, "on_switch");
  a.programs[0].runs = 1000;
  a.programs[0].run_ns = 150'000;
  set(a.programs[1].name, "never_run");
  a.missed_runs[0] = 3;
  for (std::size_t i = 0; i < shm::kDropKinds; ++i) a.dropped[i] = 100 + i;
  a.feature_count = 2;
  set(a.features[0].name, "runqueue_wait");
  set(a.features[0].source, "tp_btf");
  a.features[0].enabled = 1;
  set(a.features[1].name, "pressure");
  set(a.features[1].source, "psi=0 on the kernel's command line");
  set(a.version, "0.1.0");
  return tick;
}

}  // namespace optipod::exporter::testing
