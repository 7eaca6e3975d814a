// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this room share: a directory of their own on tmpfs, ticks with known content.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "shm/tick.hpp"

namespace optipod::shm::test {

/// A new directory under /dev/shm, removed with everything in it.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    char name[] = "/dev/shm/optipod-test-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp in /dev/shm failed");
    path_ = name;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string segment() const { return path_ + "/current.shm"; }

 private:
  std::string path_;
};

inline WriterOptions options_for(const std::string& path, std::uint32_t max_containers = 8) {
  WriterOptions options;
  options.path = path;
  options.interval = std::chrono::milliseconds(20);
  options.max_containers = max_containers;
  options.max_devices = 4;
  return options;
}

/// Every 8-byte word of a record is a function of `seed` and its place, so that a word of another
/// record is seen wherever it stands.
inline std::uint64_t word_of(std::uint64_t seed, std::size_t place) {
  return seed * 0x9e3779b97f4a7c15u + place;
}
template <class Record>
void fill(Record& record, std::uint64_t seed) {
  auto* bytes = reinterpret_cast<unsigned char*>(&record);
  for (std::size_t k = 0; k < sizeof(Record) / 8; ++k) {
    const std::uint64_t word = word_of(seed, k);
    std::memcpy(bytes + 8 * k, &word, 8);
  }
}
template <class Record>
bool filled_with(const Record& record, std::uint64_t seed) {
  Record expected;
  fill(expected, seed);
  return std::memcmp(&expected, &record, sizeof record) == 0;
}

/// A tick whose every counter is a function of `seed` and the record's place in the tick.
inline void make_tick(Tick& tick, std::uint64_t seed, std::size_t containers,
                      std::size_t devices = 2) {
  tick.node = {};
  tick.node.sampled_boottime_ns = seed;
  tick.node.cpus = seed + 1;
  fill(tick.node.cpu, seed);
  std::snprintf(tick.node.node_name, sizeof tick.node.node_name, "node-%llu",
                static_cast<unsigned long long>(seed));
  tick.agent = {};
  tick.agent.resident_bytes = seed;
  tick.containers.assign(containers, {});
  for (std::size_t i = 0; i < containers; ++i) {
    ContainerRecord& c = tick.containers[i];
    c.cgroup_id = i;
    c.first_tick = seed;
    fill(c.cpu, seed + i);
    fill(c.block, seed + i);
    std::snprintf(c.pod, sizeof c.pod, "pod-%zu-%llu", i, static_cast<unsigned long long>(seed));
  }
  tick.devices.assign(devices, {});
  for (std::size_t i = 0; i < devices; ++i) {
    tick.devices[i].minor = i;
    fill(tick.devices[i].block, seed + i);
  }
  tick.neighbours.assign(2 * containers, {});
  for (std::size_t i = 0; i < tick.neighbours.size(); ++i) {
    tick.neighbours[i].victim_cgroup_id = i / 2;
    tick.neighbours[i].preemptions = seed + i;
  }
}

template <class Record>
bool same(const std::vector<Record>& a, const std::vector<Record>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Record)) == 0);
}

/// True when a tick is in every word what make_tick made of one seed, containers in order.
inline bool is_made_tick(const Tick& tick, std::size_t containers, std::size_t devices = 2) {
  Tick expected;
  make_tick(expected, tick.node.sampled_boottime_ns, containers, devices);
  if (tick.containers.size() != containers || tick.devices.size() != devices) return false;
  for (auto& c : expected.containers) c.tick = tick.node.tick;
  for (auto& d : expected.devices) d.tick = tick.node.tick;
  for (auto& n : expected.neighbours) n.tick = tick.node.tick;
  expected.agent.tick = tick.node.tick;
  expected.node.tick = tick.node.tick;
  expected.node.first_container = tick.node.first_container;
  expected.node.container_count = containers;
  expected.node.first_device = tick.node.first_device;
  expected.node.device_count = devices;
  expected.node.agent_index = tick.node.agent_index;
  expected.node.first_neighbour = tick.node.first_neighbour;
  expected.node.neighbour_count = expected.neighbours.size();
  return std::memcmp(&expected.node, &tick.node, sizeof(NodeRecord)) == 0 &&
         std::memcmp(&expected.agent, &tick.agent, sizeof(AgentRecord)) == 0 &&
         same(expected.containers, tick.containers) && same(expected.devices, tick.devices) &&
         same(expected.neighbours, tick.neighbours);
}

}  // namespace optipod::shm::test
