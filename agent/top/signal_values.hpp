// SPDX-License-Identifier: Apache-2.0
//
// How the signals that take more than a line are computed from two moments. For the tables of
// signals.cpp only. Absent where a moment lacks what a value needs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <optional>

#include "agent/top/signals.hpp"

namespace optipod::top::values {

using shm::kValidBlockBytes, shm::kValidReclaimStall, shm::kValidOomKills, shm::kValidPageFaults;
using shm::kValidBlockIo, shm::kValidCpuTime, shm::kValidPreemptions, shm::kValidRunqueueWait;
using shm::kValidFiles, shm::kValidTcp, shm::kValidTcpRetransmits, shm::kValidInterfaces;
using shm::kValidHardwareCounters, shm::kValidCacheMisses;
using shm::kValidMemoryDetail, shm::kValidMemoryLimit;
using shm::kValidPacketDrops, shm::kValidSoftirq, shm::kValidHardirq;
using shm::kValidPressureIrq, shm::kValidVmEvents, shm::kValidTcpSegments;
using shm::kValidPressureMemory, shm::kValidPressureIo, shm::kValidCpuModes;
using shm::kValidQueueLengths;
using shm::kValidRefaults, shm::kValidFarMigrations, shm::kValidAllocations;
using shm::kValidSwitches, shm::kValidThrottling, shm::kValidMemory, shm::kValidPressureCpu;
using shm::kValidThrottledWait, shm::kValidMigrations, shm::kValidIrqStolen, shm::kValidLoad;

using C = Between<shm::ContainerRecord>;
using N = Between<NodeMoment>;
using D = Between<shm::DeviceRecord>;
using Value = std::optional<double>;

constexpr double kNs = 1e9;

// ---- What containers and the node have alike. `at` gives the record that holds the fields.

inline const shm::ContainerRecord& at(const shm::ContainerRecord& record) {
  return record;
}
inline const shm::NodeRecord& at(const NodeMoment& moment) {
  return moment.record;
}

template <class B>
Value cpus_used(const B& b) {
  return b.rate(kValidCpuTime, at(b.before).cpu_time.usage_ns, at(b.now).cpu_time.usage_ns, kNs);
}
template <std::uint64_t shm::CpuTime::*kPart, class B>
Value cpus_used_in(const B& b) {
  return b.rate(kValidCpuTime, at(b.before).cpu_time.*kPart, at(b.now).cpu_time.*kPart, kNs);
}
template <class B>
Value waiting(const B& b) {
  return b.rate(kValidRunqueueWait, at(b.before).cpu.runqueue_wait.sum_ns,
                at(b.now).cpu.runqueue_wait.sum_ns, kNs);
}
template <int kPercent, class B>
Value wait(const B& b) {
  return b.quantile_of(kValidRunqueueWait, at(b.before).cpu.runqueue_wait,
                       at(b.now).cpu.runqueue_wait, kPercent / 100.0);
}
template <shm::PreemptedBy kBy, class B>
Value preempted(const B& b) {
  return b.rate(kValidPreemptions, at(b.before).cpu.preemptions[kBy],
                at(b.now).cpu.preemptions[kBy]);
}
template <shm::SwitchKind kKind, class B>
Value switches(const B& b) {
  return b.rate(kValidSwitches, at(b.before).cpu.switches[kKind], at(b.now).cpu.switches[kKind]);
}

constexpr std::array kPressureBits{kValidPressureCpu, kValidPressureMemory, kValidPressureIo};

template <shm::Resource kWhat, class B>
Value some_stalled(const B& b) {
  return b.share(kPressureBits[kWhat], at(b.before).pressure.waiting_ns[kWhat],
                 at(b.now).pressure.waiting_ns[kWhat]);
}
template <shm::Resource kWhat, class B>
Value all_stalled(const B& b) {
  return b.share(kPressureBits[kWhat], at(b.before).pressure.stalled_ns[kWhat],
                 at(b.now).pressure.stalled_ns[kWhat]);
}
template <class B>
Value throttled_wait(const B& b) {
  return b.rate(kValidThrottledWait, at(b.before).scheduler.throttled_wait_ns,
                at(b.now).scheduler.throttled_wait_ns, kNs);
}
template <class B>
Value migrations(const B& b) {
  return b.rate(kValidMigrations, at(b.before).scheduler.migrations,
                at(b.now).scheduler.migrations);
}
template <class B>
Value far_migrations(const B& b) {
  const auto far = [](const auto& record) {
    return record.far_migrations[shm::kToOtherCache] + record.far_migrations[shm::kToOtherNode];
  };
  return b.rate(kValidFarMigrations, far(at(b.before)), far(at(b.now)));
}
/// Without the wait that its own quota makes: that is its limit's doing, not contention.
template <class B>
Value contended(const B& b) {
  const Value all = waiting(b);
  return all ? std::optional(std::max(0.0, *all - throttled_wait(b).value_or(0))) : all;
}
/// Tasks waiting for a CPU count as such; a share of time stalled counts as one task stalled.
template <class B>
Value hurt(const B& b) {
  const Value parts[] = {contended(b), some_stalled<shm::kMemory>(b), some_stalled<shm::kIo>(b)};
  Value total;
  for (const Value& part : parts) {
    if (part) total = total.value_or(0) + *part;
  }
  return total;
}

template <class B>
Value reclaim_stall(const B& b) {
  const auto sum_ns = [](const shm::MemoryStats& m) {
    return m.reclaim_stall[shm::kDirect].sum_ns + m.reclaim_stall[shm::kMemcg].sum_ns;
  };
  return b.rate(kValidReclaimStall, sum_ns(at(b.before).memory), sum_ns(at(b.now).memory), kNs);
}
template <class B>
Value oom_kills(const B& b) {
  return b.rate(kValidOomKills, at(b.before).memory.oom_kills, at(b.now).memory.oom_kills);
}
template <shm::FaultKind kKind, class B>
Value faults(const B& b) {
  return b.rate(kValidPageFaults, at(b.before).memory.page_faults[kKind],
                at(b.now).memory.page_faults[kKind]);
}
template <shm::Operation kOp, class B>
Value file_calls(const B& b) {
  return b.rate(kValidFiles, at(b.before).files.calls[kOp], at(b.now).files.calls[kOp]);
}
template <shm::Operation kOp, class B>
Value file_bytes(const B& b) {
  return b.rate(kValidFiles, at(b.before).files.bytes[kOp], at(b.now).files.bytes[kOp]);
}
template <shm::Direction kWay, class B>
Value tcp_bytes(const B& b) {
  return b.rate(kValidTcp, at(b.before).tcp.bytes[kWay], at(b.now).tcp.bytes[kWay]);
}
template <class B>
Value tcp_rtt(const B& b) {
  return b.quantile_of(kValidTcp, at(b.before).tcp.rtt, at(b.now).tcp.rtt, 0.95);
}
template <class B>
Value tcp_retransmits(const B& b) {
  return b.rate(kValidTcpRetransmits, at(b.before).tcp.retransmitted_segments,
                at(b.now).tcp.retransmitted_segments);
}

/// Of two counts, between windows none: then there was nothing to divide.
template <class B>
Value per(const B& b, std::uint64_t bit, std::uint64_t count, std::uint64_t by) {
  if (!b.knows(bit) || by == 0) return std::nullopt;
  return static_cast<double>(count) / static_cast<double>(by);
}
template <class B>
Value cycles_per_instruction(const B& b) {
  const auto &was = at(b.before).hardware, &is = at(b.now).hardware;
  return per(b, kValidHardwareCounters, is.cycles - was.cycles, is.instructions - was.instructions);
}
template <class B>
Value misses_per_thousand(const B& b) {
  const auto &was = at(b.before).hardware, &is = at(b.now).hardware;
  const Value each = per(b, kValidHardwareCounters | kValidCacheMisses,
                         is.cache_misses - was.cache_misses, is.instructions - was.instructions);
  return each ? std::optional(*each * 1000) : each;
}

// ---- What everything with block I/O has alike.

template <shm::Operation kOp, class B>
Value block_bytes(const B& b) {
  return b.rate(kValidBlockBytes, b.before.block.bytes[kOp], b.now.block.bytes[kOp]);
}
template <shm::Operation kOp, int kPercent, class B>
Value block_wait(const B& b) {
  return b.quantile_of(kValidBlockIo, b.before.block.latency[kOp], b.now.block.latency[kOp],
                       kPercent / 100.0);
}
template <class B>
Value block_p95(const B& b) {
  const auto both = [](const shm::BlockStats& s) {
    return sum(s.latency[shm::kRead], s.latency[shm::kWrite]);
  };
  return b.quantile_of(kValidBlockIo, both(b.before.block), both(b.now.block), 0.95);
}
template <shm::Operation kOp, class B>
Value block_requests(const B& b) {
  if (!b.knows(kValidBlockIo)) return std::nullopt;
  return events(added(b.before.block.latency[kOp], b.now.block.latency[kOp])) / b.seconds;
}
template <class B>
Value inflight(const B& b) {
  return b.gauge(kValidBlockBytes,
                 b.now.block.inflight[shm::kRead] + b.now.block.inflight[shm::kWrite]);
}

/// So many tasks waited, or fewer, in 95 of 100 looks.
inline Value queue_p95(const N& n) {
  if (!n.knows(kValidQueueLengths)) return std::nullopt;
  const auto &was = n.before.record.queue_lengths, &is = n.now.record.queue_lengths;
  std::uint64_t all = 0, found = 0;
  for (std::size_t i = 0; i < shm::kQueueBuckets; ++i) all += is.looks[i] - was.looks[i];
  if (all == 0) return std::nullopt;
  std::size_t bucket = 0;
  while ((found += is.looks[bucket] - was.looks[bucket]) * 100 < all * 95) ++bucket;
  return bucket == 0 ? 0 : static_cast<double>(1u << (bucket - 1));
}

/// Of the interfaces with a device behind them.
template <std::uint64_t (shm::InterfaceStats::*kCounts)[shm::kDirections], shm::Direction kWay>
Value interfaces(const N& n) {
  return n.rate(kValidInterfaces, (n.before.record.interfaces[shm::kPhysical].*kCounts)[kWay],
                (n.now.record.interfaces[shm::kPhysical].*kCounts)[kWay]);
}
inline std::uint64_t lost_at_interfaces(const shm::NodeRecord& node) {
  std::uint64_t sum = 0;
  for (std::size_t way = 0; way < shm::kDirections; ++way)
    sum += node.interfaces[shm::kPhysical].errors[way] + node.interfaces[shm::kPhysical].drops[way];
  return sum;
}
inline std::uint64_t dropped(const shm::NodeRecord& node) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < node.drop_count; ++i) sum += node.drops[i].packets;
  return sum;
}
inline std::uint64_t in_softirqs(const shm::NodeRecord& node) {
  return std::accumulate(std::begin(node.softirq_ns), std::end(node.softirq_ns), std::uint64_t{0});
}

template <shm::CpuMode kMode>
Value mode_share(const N& n) {
  const auto cpus = static_cast<double>(std::max<std::uint64_t>(1, n.now.record.cpus));
  return n.rate(kValidCpuModes, n.before.record.cpu_mode_ns[kMode], n.now.record.cpu_mode_ns[kMode],
                kNs * cpus);
}

}  // namespace optipod::top::values
