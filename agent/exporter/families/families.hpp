// SPDX-License-Identifier: Apache-2.0
//
// Everything that optipod-exporter serves, by subject; each list in the order of the page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/exporter/family.hpp"
#include "shm/tick.hpp"

namespace optipod::exporter {

/// What is said even when there is no agent.
struct Status {
  bool up = false;
  std::optional<std::uint64_t> sampled_realtime_ns;  ///< of the tick read last; none: never
};

/// An eBPF program of the agent.
struct ProgramState {
  enum Valid : std::uint64_t { kTimed = 1, kMissesKnown = 2 };
  std::uint64_t valid = 0;
  shm::AgentRecord::Program program{};
  std::uint64_t missed_runs = 0;
};

/// What the exporter says about itself.
struct ExporterState {
  shm::AttachState attach;
  shm::WriterState writer;
  shm::TickReader::Counters counters;
  std::uint64_t hidden, scrapes, render_ns;
};

std::span<const Family<Status>> status_families();
std::span<const Family<shm::Tick>> node_info_families();
std::span<const Family<shm::NodeRecord>> node_families();
std::span<const Family<shm::DeviceRecord>> device_families();
std::span<const Family<shm::ContainerRecord>> container_families();
std::span<const Family<shm::NeighbourRecord>> neighbour_families();
std::span<const Family<shm::AgentRecord::Feature>> feature_families();
std::span<const Family<ProgramState>> program_families();
std::span<const Family<shm::Tick>> agent_families();
std::span<const Family<ExporterState>> exporter_families();
/// What text::SelfMetrics writes for this program.
std::span<const Metric> process_metrics();

/// All of the above.
std::vector<Metric> all_metrics();

}  // namespace optipod::exporter
