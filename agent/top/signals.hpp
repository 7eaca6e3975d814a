// SPDX-License-Identifier: Apache-2.0
//
// What optipod-top knows how to show: one line per signal. A new one is an entry in a table of
// signals.cpp; screens, column chooser, sorting, --json and --csv follow from it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "agent/top/histogram.hpp"
#include "agent/top/text.hpp"
#include "shm/records.hpp"
#include "shm/tick.hpp"

namespace optipod::top {

/// Two moments of one thing in one agent's life. `bits` are those of shm::Valid that a value needs;
/// without them in both moments it is absent.
template <class Record>
struct Between {
  const Record& before;
  const Record& now;
  double seconds;

  [[nodiscard]] bool knows(std::uint64_t bits) const {
    return (before.valid & now.valid & bits) == bits;
  }
  /// Growth of a counter per second, divided by `scale` (1e9 for nanoseconds).
  [[nodiscard]] std::optional<double> rate(std::uint64_t bits, std::uint64_t was, std::uint64_t is,
                                           double scale = 1) const {
    if (!knows(bits)) return std::nullopt;
    return static_cast<double>(is > was ? is - was : 0) / scale / seconds;
  }
  /// Likewise of nanoseconds of which there is one per nanosecond at most.
  [[nodiscard]] std::optional<double> share(std::uint64_t bits, std::uint64_t was,
                                            std::uint64_t is) const {
    const auto value = rate(bits, was, is, 1e9);
    return value ? std::optional(std::min(*value, 1.0)) : std::nullopt;
  }
  [[nodiscard]] std::optional<double> quantile_of(std::uint64_t bits, const shm::Histogram& was,
                                                  const shm::Histogram& is, double q) const {
    return knows(bits) ? quantile(added(was, is), q) : std::nullopt;
  }
  [[nodiscard]] std::optional<double> gauge(std::uint64_t bits, std::uint64_t value) const {
    return now.valid & bits ? std::optional(static_cast<double>(value)) : std::nullopt;
  }
};

/// A node at one moment: its record, and its disks together.
struct NodeMoment {
  explicit NodeMoment(const shm::Tick& tick);
  std::uint64_t valid;
  const shm::NodeRecord& record;  ///< of the tick
  shm::BlockStats block;
};

template <class Record>
struct Signal {
  const char* key;    ///< in --json, --csv, --columns; stable
  const char* title;  ///< column heading, at most 9 characters
  Unit unit;
  std::optional<double> (*value)(const Between<Record>&);
  const char* help;  ///< one line: what a high value means
  double warn = 0;   ///< from here on it is marked; 0: never
  double bad = 0;
  bool shown = true;  ///< a column unless the user chooses otherwise
};

std::span<const Signal<shm::ContainerRecord>> container_signals();
std::span<const Signal<NodeMoment>> node_signals();
std::span<const Signal<shm::DeviceRecord>> device_signals();

/// Values of all signals of a table, in its order.
template <class Record>
std::vector<std::optional<double>> evaluate(std::span<const Signal<Record>> signals,
                                            const Between<Record>& between) {
  std::vector<std::optional<double>> out;
  out.reserve(signals.size());
  for (const auto& signal : signals) out.push_back(signal.value(between));
  return out;
}

/// Keys of which the node's value less all rows' is something: what no row has.
bool adds_up(const char* key);

template <class Record>
std::optional<std::size_t> find_signal(std::span<const Signal<Record>> signals,
                                       std::string_view key) {
  for (std::size_t i = 0; i < signals.size(); ++i) {
    if (signals[i].key == key) return i;
  }
  return std::nullopt;
}

}  // namespace optipod::top
