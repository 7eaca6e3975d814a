// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>

#include "agent/profiler/since.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

/// What the host's network interfaces carried, by kind. Only from inside the host's network
/// namespace: elsewhere sysfs shows other interfaces than the host's, so their kinds are not known.
/// A node that is a subtree of the machine has none of them.
class InterfaceCounters {
 public:
  /// Files below `proc` and `sys`: other places in tests.
  explicit InterfaceCounters(bool whole_machine, const std::string& proc = "/proc",
                             const std::string& sys = "/sys");

  /// Fills node.interfaces with its valid bit, if it can be read; counts from the first call on,
  /// and interfaces that come later from their first byte. Those that go take nothing back.
  void sample(shm::NodeRecord& node);
  [[nodiscard]] shm::AgentRecord::Feature feature() const;

 private:
  static constexpr std::size_t kWords = sizeof(shm::InterfaceStats) / sizeof(std::uint64_t);
  using Words = std::array<std::uint64_t, kWords>;
  struct Interface {
    shm::InterfaceKind kind = shm::kVirtual;
    std::array<Since, kWords> since;
    Words risen{};
    bool present = false;
  };
  Interface& find(std::string_view name);

  bool known_ = false;  ///< these are the host's
  const char* why_not_ = "";
  std::string file_, classes_;
  std::map<std::string, Interface, std::less<>> interfaces_;
  Words gone_[shm::kInterfaceKinds] = {};
  bool first_ = true;
};

}  // namespace optipod::agent
