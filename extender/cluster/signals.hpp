// SPDX-License-Identifier: Apache-2.0
//
// The scheduling view's series (docs/metrics.md §2), one column each in the measurements.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace optipod::extender {

enum class Signal : std::uint8_t {
  kCpus,
  kCpuUtilization15s,
  kCpuUtilization1m,
  kRunqueueWait15s,
  kRunqueueWait1m,
  kRunqueueWaitP95In15s,
  kRunqueueWaitP95In1m,
  kMemoryUtilization,
  kMemoryBytes,
  kMemoryStall15s,
  kMemoryStall1m,
  kIoStall15s,
  kIoStall1m,
  kBlockLatency15s,
  kBlockLatency1m,
  kBlockInflight,
  kNetworkLoss15s,
  kNetworkLoss1m,
  // Mean and standard deviation over longer windows, and what is to be expected.
  kCpuMean15m,
  kCpuMean1h,
  kCpuMean24h,
  kCpuStddev15m,
  kCpuStddev1h,
  kCpuStddev24h,
  kCpuForecast,
  kMemoryMean15m,
  kMemoryMean1h,
  kMemoryMean24h,
  kMemoryStddev15m,
  kMemoryStddev1h,
  kMemoryStddev24h,
  kMemoryForecast,
  // The first OptiPod's eight, per second.
  kAllocatedBytesRate,
  kPageFaultsRate,
  kVoluntarySwitchesRate,
  kInvoluntarySwitchesRate,
  kReadsRate,
  kReadBytesRate,
  kWritesRate,
  kWrittenBytesRate,
  kUp,  ///< says whether the node answers, not how it fares: never counts for a row's age
};

inline constexpr std::size_t kSignals = static_cast<std::size_t>(Signal::kUp) + 1;

struct SignalInfo {
  std::string_view series;  ///< name on the wire
  std::string_view key;     ///< name in /explain
};

inline constexpr std::array<SignalInfo, kSignals> kSignalInfo{{
    {"optipod:node_cpus:last", "cpus"},
    {"optipod:node_cpu_utilization:mean_15s", "cpu_utilization_15s"},
    {"optipod:node_cpu_utilization:mean_1m", "cpu_utilization_1m"},
    {"optipod:node_cpu_runqueue_wait:mean_15s", "cpu_runqueue_wait_15s"},
    {"optipod:node_cpu_runqueue_wait:mean_1m", "cpu_runqueue_wait_1m"},
    {"optipod:node_cpu_runqueue_wait_seconds:p95_15s", "cpu_runqueue_wait_seconds_p95_15s"},
    {"optipod:node_cpu_runqueue_wait_seconds:p95_1m", "cpu_runqueue_wait_seconds_p95_1m"},
    {"optipod:node_memory_utilization:last", "memory_utilization"},
    {"optipod:node_memory_bytes:last", "memory_bytes"},
    {"optipod:node_memory_stall:mean_15s", "memory_stall_15s"},
    {"optipod:node_memory_stall:mean_1m", "memory_stall_1m"},
    {"optipod:node_io_stall:mean_15s", "io_stall_15s"},
    {"optipod:node_io_stall:mean_1m", "io_stall_1m"},
    {"optipod:node_block_io_latency_seconds:p95_15s", "block_io_latency_seconds_p95_15s"},
    {"optipod:node_block_io_latency_seconds:p95_1m", "block_io_latency_seconds_p95_1m"},
    {"optipod:node_block_io_inflight:last", "block_io_inflight"},
    {"optipod:node_network_loss:mean_15s", "network_loss_15s"},
    {"optipod:node_network_loss:mean_1m", "network_loss_1m"},
    {"optipod:node_cpu_utilization:mean_15m", "cpu_utilization_mean_15m"},
    {"optipod:node_cpu_utilization:mean_1h", "cpu_utilization_mean_1h"},
    {"optipod:node_cpu_utilization:mean_24h", "cpu_utilization_mean_24h"},
    {"optipod:node_cpu_utilization:stddev_15m", "cpu_utilization_stddev_15m"},
    {"optipod:node_cpu_utilization:stddev_1h", "cpu_utilization_stddev_1h"},
    {"optipod:node_cpu_utilization:stddev_24h", "cpu_utilization_stddev_24h"},
    {"optipod:node_cpu_utilization:forecast_15m", "cpu_utilization_forecast_15m"},
    {"optipod:node_memory_utilization:mean_15m", "memory_utilization_mean_15m"},
    {"optipod:node_memory_utilization:mean_1h", "memory_utilization_mean_1h"},
    {"optipod:node_memory_utilization:mean_24h", "memory_utilization_mean_24h"},
    {"optipod:node_memory_utilization:stddev_15m", "memory_utilization_stddev_15m"},
    {"optipod:node_memory_utilization:stddev_1h", "memory_utilization_stddev_1h"},
    {"optipod:node_memory_utilization:stddev_24h", "memory_utilization_stddev_24h"},
    {"optipod:node_memory_utilization:forecast_15m", "memory_utilization_forecast_15m"},
    {"optipod:node_memory_allocated_bytes:rate_1m", "memory_allocated_bytes_rate"},
    {"optipod:node_page_faults:rate_1m", "page_faults_rate"},
    {"optipod:node_context_switches_voluntary:rate_1m", "context_switches_voluntary_rate"},
    {"optipod:node_context_switches_involuntary:rate_1m", "context_switches_involuntary_rate"},
    {"optipod:node_filesystem_reads:rate_1m", "filesystem_reads_rate"},
    {"optipod:node_filesystem_read_bytes:rate_1m", "filesystem_read_bytes_rate"},
    {"optipod:node_filesystem_writes:rate_1m", "filesystem_writes_rate"},
    {"optipod:node_filesystem_written_bytes:rate_1m", "filesystem_written_bytes_rate"},
    {"optipod:node_up:last", "up"},
}};

constexpr std::size_t index(Signal s) {
  return static_cast<std::size_t>(s);
}

/// A set of signals.
class SignalSet {
 public:
  constexpr SignalSet() = default;
  template <class... S>
  explicit constexpr SignalSet(S... signals)
      : bits_((std::uint64_t{0} | ... | (std::uint64_t{1} << index(signals)))) {}
  [[nodiscard]] constexpr bool has(Signal s) const { return (bits_ >> index(s) & 1U) != 0; }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  constexpr void add(SignalSet other) { bits_ |= other.bits_; }
  constexpr bool operator==(const SignalSet&) const = default;

 private:
  static_assert(kSignals <= 64);
  std::uint64_t bits_ = 0;
};

}  // namespace optipod::extender
