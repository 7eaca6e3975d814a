// SPDX-License-Identifier: Apache-2.0
#include "agent/top/rates.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <unordered_map>

namespace optipod::top {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr double kQuantile = 0.95;

/// Counters of one writer never go backwards; if one does all the same, nothing is better than a
/// huge number.
std::uint64_t added(std::uint64_t before, std::uint64_t now) {
  return now > before ? now - before : 0;
}

struct Values {
  std::uint64_t valid;
  const shm::CpuStats& cpu;
  const shm::CpuTime& time;
  const shm::Pressure& pressure;
  const shm::BlockStats& block;
};

std::optional<double> block_quantile(const shm::BlockStats& before, const shm::BlockStats& now) {
  shm::Histogram sum_before{}, sum_now{};
  for (std::size_t op = 0; op < shm::kOperations; ++op) {
    for (std::size_t k = 0; k < shm::kHistogramBuckets; ++k) {
      sum_before.bucket[k] += before.latency[op].bucket[k];
      sum_now.bucket[k] += now.latency[op].bucket[k];
    }
  }
  return quantile(sum_before, sum_now, kQuantile);
}

Rates rates_of(const Values& before, const Values& now, double seconds) {
  const std::uint64_t valid = before.valid & now.valid;
  const auto per_second = [&](std::uint64_t was, std::uint64_t is) {
    return static_cast<double>(added(was, is)) / seconds;
  };
  Rates out;
  if (valid & shm::kValidCpuTime) {
    out.cpus_used = per_second(before.time.usage_ns, now.time.usage_ns) / kNsPerSecond;
  }
  if (valid & shm::kValidRunqueueWait) {
    const auto &was = before.cpu.runqueue_wait, &is = now.cpu.runqueue_wait;
    out.waiting = per_second(was.sum_ns, is.sum_ns) / kNsPerSecond;
    out.wait_p95_seconds = quantile(was, is, kQuantile);
  }
  for (std::size_t by = 0; by < shm::kPreemptedByCount && (valid & shm::kValidPreemptions); ++by) {
    out.preempted_by[by] = per_second(before.cpu.preemptions[by], now.cpu.preemptions[by]);
  }
  for (std::size_t kind = 0; kind < shm::kSwitchKinds && (valid & shm::kValidSwitches); ++kind) {
    out.switches[kind] = per_second(before.cpu.switches[kind], now.cpu.switches[kind]);
  }
  constexpr std::array kPressureBits{shm::kValidPressureCpu, shm::kValidPressureMemory,
                                     shm::kValidPressureIo};
  for (std::size_t r = 0; r < shm::kResources; ++r) {
    if (!(valid & kPressureBits[r])) continue;
    out.stalled[r] = std::min(
        1.0, per_second(before.pressure.waiting_ns[r], now.pressure.waiting_ns[r]) / kNsPerSecond);
  }
  if (valid & shm::kValidBlockIo) {
    out.read_bytes = per_second(before.block.bytes[shm::kRead], now.block.bytes[shm::kRead]);
    out.written_bytes = per_second(before.block.bytes[shm::kWrite], now.block.bytes[shm::kWrite]);
    out.block_p95_seconds = block_quantile(before.block, now.block);
    out.inflight =
        static_cast<double>(now.block.inflight[shm::kRead] + now.block.inflight[shm::kWrite]);
  }
  return out;
}

shm::BlockStats sum_of(const std::vector<shm::DeviceRecord>& devices) {
  shm::BlockStats sum{};
  for (const auto& device : devices) {
    for (std::size_t op = 0; op < shm::kOperations; ++op) {
      for (std::size_t k = 0; k < shm::kHistogramBuckets; ++k) {
        sum.latency[op].bucket[k] += device.block.latency[op].bucket[k];
      }
      sum.latency[op].sum_ns += device.block.latency[op].sum_ns;
      sum.bytes[op] += device.block.bytes[op];
      sum.inflight[op] += device.block.inflight[op];
    }
  }
  return sum;
}

std::string name_of(const shm::ContainerRecord& c) {
  if (c.namespace_[0] == '\0') return c.container;
  return std::string(c.namespace_) + '/' + c.pod + '/' + c.container;
}

/// Tasks waiting for a CPU count as such; a share of time stalled counts as one task stalled.
double hurt(const Rates& r) {
  return r.waiting.value_or(0) + r.stalled[shm::kMemory].value_or(0) +
         r.stalled[shm::kIo].value_or(0);
}

Values values_of(const shm::ContainerRecord& c) {
  return {c.valid, c.cpu, c.cpu_time, c.pressure, c.block};
}

std::uint64_t device_validity(const shm::Tick& tick) {
  return tick.devices.empty() ? tick.node.valid : tick.node.valid | shm::kValidBlockIo;
}

/// `whole` less `part`; counters are sampled one after the other, so a part may be a little ahead.
void subtract(std::optional<double>& whole, const std::optional<double>& part) {
  if (whole && part) whole = std::max(0.0, *whole - *part);
}

Rates rest_of(const Rates& node, const std::vector<ContainerRates>& containers) {
  Rates rest;
  rest.cpus_used = node.cpus_used;
  rest.waiting = node.waiting;
  std::copy(std::begin(node.preempted_by), std::end(node.preempted_by),
            std::begin(rest.preempted_by));
  for (const auto& container : containers) {
    subtract(rest.cpus_used, container.rates.cpus_used);
    subtract(rest.waiting, container.rates.waiting);
    for (std::size_t by = 0; by < shm::kPreemptedByCount; ++by) {
      subtract(rest.preempted_by[by], container.rates.preempted_by[by]);
    }
  }
  return rest;
}

}  // namespace

std::optional<double> quantile(const shm::Histogram& before, const shm::Histogram& now, double q) {
  std::array<std::uint64_t, shm::kHistogramBuckets> events{};
  double total = 0;
  for (std::size_t k = 0; k < events.size(); ++k) {
    events[k] = added(before.bucket[k], now.bucket[k]);
    total += static_cast<double>(events[k]);
  }
  if (total == 0) return std::nullopt;
  double rank = q * total;
  for (std::size_t k = 0; k < events.size(); ++k) {
    const auto here = static_cast<double>(events[k]);
    if (here > 0 && rank <= here) {
      const double upper = std::ldexp(1.0, static_cast<int>(k));
      const double lower = k == 0 ? 0.0 : upper / 2;
      // Above the last finite bound there is only that bound to tell.
      if (k + 1 == events.size()) return lower / kNsPerSecond;
      return (lower + (upper - lower) * rank / here) / kNsPerSecond;
    }
    rank -= here;
  }
  return std::ldexp(1.0, static_cast<int>(events.size()) - 2) / kNsPerSecond;
}

std::optional<Delta> difference(const shm::Tick& before, const shm::Tick& now) {
  if (now.node.tick <= before.node.tick ||
      now.node.sampled_boottime_ns <= before.node.sampled_boottime_ns) {
    return std::nullopt;
  }
  Delta out;
  out.seconds =
      static_cast<double>(now.node.sampled_boottime_ns - before.node.sampled_boottime_ns) /
      kNsPerSecond;
  const auto block_before = sum_of(before.devices), block_now = sum_of(now.devices);
  out.node = rates_of(
      {device_validity(before), before.node.cpu, before.node.cpu_time, before.node.pressure,
       block_before},
      {device_validity(now), now.node.cpu, now.node.cpu_time, now.node.pressure, block_now},
      out.seconds);

  std::unordered_map<std::uint64_t, const shm::ContainerRecord*> known;
  for (const auto& c : before.containers) known.emplace(c.cgroup_id, &c);
  for (const auto& c : now.containers) {
    const auto was = known.find(c.cgroup_id);
    if (was == known.end() || was->second->first_tick != c.first_tick) continue;
    out.containers.push_back(
        {name_of(c), rates_of(values_of(*was->second), values_of(c), out.seconds)});
  }
  out.rest = rest_of(out.node, out.containers);
  std::stable_sort(out.containers.begin(), out.containers.end(), [](const auto& a, const auto& b) {
    const double ha = std::round(hurt(a.rates) * 100), hb = std::round(hurt(b.rates) * 100);
    if (ha != hb) return ha > hb;
    return a.rates.cpus_used.value_or(0) > b.rates.cpus_used.value_or(0);
  });
  return out;
}

}  // namespace optipod::top
