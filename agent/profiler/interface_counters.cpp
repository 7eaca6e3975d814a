// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/interface_counters.hpp"

#include <bit>
#include <filesystem>
#include <system_error>

#include "agent/profiler/host_network.hpp"
#include "agent/profiler/parse_stat.hpp"
#include "agent/profiler/read_file.hpp"
#include "agent/profiler/self_sampler.hpp"

namespace optipod::agent {

InterfaceCounters::InterfaceCounters(bool whole_machine, const std::string& proc,
                                     const std::string& sys)
    : file_(proc + "/net/dev"), classes_(sys + "/class/net/") {
  if (!whole_machine) {
    why_not_ = "only of a whole machine";
  } else if (!in_host_network(proc)) {
    why_not_ = "needs hostNetwork";
  } else {
    known_ = true;
  }
}

InterfaceCounters::Interface& InterfaceCounters::find(std::string_view name) {
  const auto known = interfaces_.find(name);
  if (known != interfaces_.end()) return known->second;
  Interface& made = interfaces_[std::string(name)];
  std::error_code error;
  if (std::filesystem::exists(classes_ + std::string(name) + "/device", error))
    made.kind = shm::kPhysical;
  if (!first_)
    for (Since& since : made.since) since.start_at_zero();
  return made;
}

void InterfaceCounters::sample(shm::NodeRecord& node) {
  if (!known_) return;
  const std::string text = read_file(file_);  // as long as there are interfaces
  const auto devices = parse_net_dev(text);
  if (!devices) return;
  for (auto& [name, interface] : interfaces_) interface.present = false;
  for (const NetDevice& device : *devices) {
    if (device.name == "lo") continue;
    Interface& interface = find(device.name);
    interface.present = true;
    const auto now = std::bit_cast<Words>(device.counts);
    for (std::size_t i = 0; i < kWords; ++i) interface.risen[i] = interface.since[i](now[i]);
  }
  first_ = false;
  const auto add = [](const Words& from, Words& to) {
    for (std::size_t i = 0; i < kWords; ++i) to[i] += from[i];
  };
  std::erase_if(interfaces_, [&](const auto& entry) {
    const Interface& interface = entry.second;
    if (!interface.present) add(interface.risen, gone_[interface.kind]);
    return !interface.present;
  });
  Words sum[shm::kInterfaceKinds] = {gone_[shm::kPhysical], gone_[shm::kVirtual]};
  for (const auto& [name, interface] : interfaces_) add(interface.risen, sum[interface.kind]);
  for (std::size_t kind = 0; kind < shm::kInterfaceKinds; ++kind)
    node.interfaces[kind] = std::bit_cast<shm::InterfaceStats>(sum[kind]);
  node.valid |= shm::kValidInterfaces;
}

shm::AgentRecord::Feature InterfaceCounters::feature() const {
  const bool readable = known_ && parse_net_dev(read_file(file_)).has_value();
  return make_feature("interfaces",
                      readable ? "file"
                      : known_ ? "no /proc/net/dev readable"
                               : why_not_,
                      readable);
}

}  // namespace optipod::agent
