// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/profiler/kernel.hpp"
#include "shm/records.hpp"

namespace optipod::agent {

/// Gives each reason for which packets are dropped its place in the node's record when it is first
/// heard of, and keeps it there. One thread.
class PacketDrops {
 public:
  /// `counts` are cumulative and never go back.
  void tell(std::span<const DropCount> counts, shm::NodeRecord& node);

 private:
  std::size_t place_of(std::string_view reason);
  std::vector<std::string> places_;
};

}  // namespace optipod::agent
