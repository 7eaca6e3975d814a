// SPDX-License-Identifier: Apache-2.0
//
// The scheduling view's series (docs/metrics.md §2), one column each in the snapshot.
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
  explicit constexpr SignalSet(S... signals) : bits_((0U | ... | (1U << index(signals)))) {}
  [[nodiscard]] constexpr bool has(Signal s) const { return (bits_ >> index(s) & 1U) != 0; }
  constexpr void add(SignalSet other) { bits_ |= other.bits_; }
  constexpr bool operator==(const SignalSet&) const = default;

 private:
  std::uint32_t bits_ = 0;
};

}  // namespace optipod::extender
