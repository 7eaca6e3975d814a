// SPDX-License-Identifier: Apache-2.0
#include "extender/wire/resources.hpp"

#include <algorithm>

namespace optipod::extender::wire {

ResourceNames::ResourceNames(std::vector<std::string> extended)
    : names_{"cpu", "memory", "pods", "ephemeral-storage"} {
  for (std::string& name : extended) {
    if (names_.size() < kMostResources && !find(name)) names_.push_back(std::move(name));
  }
}

std::optional<std::size_t> ResourceNames::find(std::string_view name) const {
  const auto found = std::ranges::find(names_, name);
  if (found == names_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - names_.begin());
}

}  // namespace optipod::extender::wire
