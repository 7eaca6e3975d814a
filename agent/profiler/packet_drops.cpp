// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/packet_drops.hpp"

#include <algorithm>

#include "agent/profiler/text_field.hpp"

namespace optipod::agent {
namespace {

constexpr std::string_view kOther = kOtherDropReason;

}  // namespace

std::size_t PacketDrops::place_of(std::string_view reason) {
  const auto found = std::find(places_.begin(), places_.end(), reason);
  if (found != places_.end()) return static_cast<std::size_t>(found - places_.begin());
  // One place is kept for all the others.
  if (places_.size() + 1 >= shm::kDropReasonsKept && reason != kOther) return place_of(kOther);
  places_.emplace_back(reason);
  return places_.size() - 1;
}

void PacketDrops::tell(std::span<const DropCount> counts, shm::NodeRecord& node) {
  for (shm::PacketDrops& drop : node.drops) drop.packets = 0;
  for (const DropCount& count : counts) node.drops[place_of(count.reason)].packets += count.packets;
  for (std::size_t i = 0; i < places_.size(); ++i) set_text(node.drops[i].reason, places_[i]);
  node.drop_count = places_.size();
}

}  // namespace optipod::agent
