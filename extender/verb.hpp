// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace optipod::extender {

/// What kube-scheduler asks an extender.
enum class Verb : std::uint8_t { kFilter, kPrioritize, kPreempt, kBind };

inline constexpr std::array<std::string_view, 4> kVerbNames{"filter", "prioritize", "preempt",
                                                            "bind"};

constexpr std::string_view to_string(Verb verb) {
  return kVerbNames[static_cast<std::size_t>(verb)];
}

}  // namespace optipod::extender
