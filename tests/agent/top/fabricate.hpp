// SPDX-License-Identifier: Apache-2.0
//
// Samples and scenes made by hand.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "agent/top/history.hpp"
#include "agent/top/layout.hpp"
#include "agent/top/scene.hpp"
#include "agent/top/signals.hpp"

namespace optipod::top::test {

inline constexpr std::uint64_t kSecond = 1'000'000'000;

template <std::size_t N>
void set(char (&field)[N], const std::string& text) {
  std::memset(field, 0, N);
  std::memcpy(field, text.data(), std::min(text.size(), N - 1));
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline shm::ContainerRecord container(std::uint64_t id, const std::string& name) {
  shm::ContainerRecord c{};
  c.cgroup_id = id;
  c.valid = shm::kValidRunqueueWait | shm::kValidCpuTime | shm::kValidPreemptions |
            shm::kValidSwitches | shm::kValidPressureIo | shm::kValidBlockIo |
            shm::kValidBlockBytes;
  set(c.container, name);
  return c;
}

inline shm::ContainerRecord pod(std::uint64_t id, const std::string& space, const std::string& pod,
                                const std::string& name) {
  shm::ContainerRecord c = container(id, name);
  set(c.namespace_, space);
  set(c.pod, pod);
  set(c.qos, "burstable");
  return c;
}

/// Second `number` of a node with two CPUs.
inline Sample sample(std::uint64_t number, std::vector<shm::ContainerRecord> containers = {},
                     std::uint64_t epoch = 7) {
  Sample s;
  s.epoch = epoch;
  s.tick.containers = std::move(containers);
  for (auto& c : s.tick.containers) c.tick = number;
  auto& node = s.tick.node;
  node.tick = number;
  s.tick.agent.tick = number;
  node.sampled_boottime_ns = (100 + number) * kSecond;
  node.sampled_realtime_ns = (1'700'000'000 + number) * kSecond;
  node.cpus = 2;
  node.valid = shm::kValidRunqueueWait | shm::kValidCpuTime | shm::kValidSwitches |
               shm::kValidPreemptions | shm::kValidPressureIo;
  set(node.node_name, "node-1");
  set(node.kernel_release, "6.18");
  set(node.cgroup_root, "/");
  set(s.tick.agent.version, "0.1.0");
  return s;
}

inline SamplePtr shared(Sample s) {
  return std::make_shared<const Sample>(std::move(s));
}

/// A live agent with these samples, looked at the last one.
inline Scene scene(std::vector<Sample> samples, const Ui& ui = {}) {
  History history;
  for (auto& s : samples) history.add(std::move(s));
  Scene out;
  out.agent.attach = shm::AttachState::kAttached;
  out.agent.writer = shm::WriterState::kLive;
  look_at(out, history, history.end() - 1, ui.screen == Screen::kZoom ? ui.selected : std::nullopt);
  if (out.interval) out.order = arrange(*out.interval, ui.query);
  return out;
}

inline std::size_t signal(const char* key) {
  return find_signal(container_signals(), key).value();
}
inline std::optional<double> node_value(const Interval& interval, const char* key) {
  return interval.node.at(find_signal(node_signals(), key).value());
}

}  // namespace optipod::top::test
