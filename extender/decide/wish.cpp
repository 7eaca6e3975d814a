// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/wish.hpp"

#include <fmt/core.h>

namespace optipod::extender {
namespace {

std::optional<Sensitivity> sensitivity_of(std::string_view profile) {
  Sensitivity s{kMinor, kMinor, kMinor, kMinor};
  if (profile == "cpu") {
    s.cpu = 1;
  } else if (profile == "memory") {
    s.memory = 1;
  } else if (profile == "io") {
    s.io = 1;
  } else if (profile == "network") {
    s.network = 1;
  } else if (profile == "none") {
    s = {0, 0, 0, 0};
  } else {
    return std::nullopt;
  }
  return s;
}

}  // namespace

Wish wish_of(const wire::Pod& pod, const PolicySet& policies) {
  Wish wish;
  for (const auto& [key, value] : pod.annotations) {
    if (key == "optipod.dev/profile") {
      const std::optional<Sensitivity> s = sensitivity_of(value);
      if (s) {
        wish.sensitivity = *s;
      } else {
        wish.problems.push_back(fmt::format(
            "annotation optipod.dev/profile: '{}' is none of cpu, memory, io, network, none",
            value.substr(0, 64)));
      }
    } else if (key == "optipod.dev/policy") {
      auto chosen = policies.parse(value);
      if (chosen) {
        wish.policies = std::move(*chosen);
      } else {
        wish.problems.push_back("annotation optipod.dev/policy: " + chosen.error());
      }
    } else {
      wish.problems.push_back(
          fmt::format("annotation {} is unknown; there are optipod.dev/profile and "
                      "optipod.dev/policy",
                      key.substr(0, 64)));
    }
  }
  return wish;
}

}  // namespace optipod::extender
