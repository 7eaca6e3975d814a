// SPDX-License-Identifier: Apache-2.0
//
// Two samples of a node made into rows of values, and the rows put in order. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shm/tick.hpp"

namespace optipod::top {

/// One tick, and whose it was: rates are taken within one life of an agent only.
struct Sample {
  shm::Tick tick;
  std::uint64_t epoch = 0;
};
using SamplePtr = std::shared_ptr<const Sample>;

/// Unique within one life of an agent: cgroup ids are used again.
struct Identity {
  std::uint64_t cgroup_id = 0, first_tick = 0;
  bool operator==(const Identity&) const = default;
};
Identity identity_of(const shm::ContainerRecord& record);
const shm::ContainerRecord* find(const shm::Tick& tick, const Identity& identity);

using Values = std::vector<std::optional<double>>;  ///< as the table of signals is ordered

struct ContainerRow {
  const shm::ContainerRecord* before;
  const shm::ContainerRecord* now;
  std::string name;  ///< raw: namespace/pod/container, or the cgroup's path outside Kubernetes
  Values values;     ///< container_signals()
};

struct DeviceRow {
  const shm::DeviceRecord* now;
  Values values;  ///< device_signals()
};

/// One container takes another's CPU.
struct NeighbourRow {
  Identity aggressor, victim;
  /// Raw, as ContainerRow::name; "(everything else)" for what has no row.
  std::string aggressor_name, victim_name;
  double preemptions = 0;  ///< per second
  double taken = 0;        ///< CPUs that the aggressor's tasks ran on meanwhile
};

/// What changed between two samples, per second. The rows point into the samples, which it keeps.
struct Interval {
  SamplePtr before, now;
  double seconds = 0;
  Values node;  ///< node_signals()
  /// Only those in both samples, in the agent's order.
  std::vector<ContainerRow> containers;
  /// What the node has and no row: tasks in inner cgroups, in new ones, above the limit.
  /// container_signals(); set where such a difference means something (adds_up).
  Values rest;
  std::vector<DeviceRow> devices;
  bool knows_neighbours = false;  ///< the kernel tells who preempts whom
  /// Pairs of which something happened; who takes most comes first.
  std::vector<NeighbourRow> neighbours;
};

/// Empty when the samples are not two moments of one agent's life in order.
std::optional<Interval> interval_between(SamplePtr before, SamplePtr now);

/// The samples there are, oldest first, numbered begin() to end() - 1. Not thread-safe.
class Timeline {
 public:
  virtual ~Timeline() = default;
  [[nodiscard]] virtual std::uint64_t begin() const = 0;
  [[nodiscard]] virtual std::uint64_t end() const = 0;
  /// Null outside, and where a recording is damaged.
  virtual SamplePtr at(std::uint64_t number) = 0;
};

/// The interval that ends with this sample, if there is one.
std::optional<Interval> interval_at(Timeline& timeline, std::uint64_t number);

/// Which rows are to be seen, and in which order.
struct Query {
  std::size_t sort = 0;  ///< index of a container signal, or kByName
  bool descending = true;
  /// Words of a name, in any case; all must be in it. "!word": must not.
  std::string filter;
  static constexpr std::size_t kByName = static_cast<std::size_t>(-1);
};

bool matches(std::string_view name, std::string_view filter);

/// Indices of interval.containers. Absent values stand last; ties go by CPU use, then by name.
std::vector<std::size_t> arrange(const Interval& interval, const Query& query);

}  // namespace optipod::top
