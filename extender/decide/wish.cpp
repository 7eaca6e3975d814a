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

/// What is wrong with one annotation; "" when it has been taken.
std::string take(std::string_view key, std::string_view value, const PolicySet& policies,
                 Wish& wish) {
  if (key == "optipod.dev/profile") {
    const std::optional<Sensitivity> s = sensitivity_of(value);
    if (!s) {
      return fmt::format(
          "annotation optipod.dev/profile: '{}' is none of cpu, memory, io, network, none",
          value.substr(0, 64));
    }
    wish.sensitivity = *s;
    return {};
  }
  if (key == "optipod.dev/policy") {
    auto chosen = policies.parse(value);
    if (!chosen) return "annotation optipod.dev/policy: " + chosen.error();
    wish.policies = std::move(*chosen);
    return {};
  }
  return fmt::format(
      "annotation {} is unknown; there are optipod.dev/profile and optipod.dev/policy",
      key.substr(0, 64));
}

}  // namespace

Wish wish_of(const wire::Pod& pod, const PolicySet& policies) {
  Wish wish;
  std::size_t unnamed = 0;
  for (const auto& [key, value] : pod.annotations) {
    std::string problem = take(key, value, policies, wish);
    if (problem.empty()) continue;
    if (wish.problems.size() < kMostProblems) {
      wish.problems.push_back(std::move(problem));
    } else {
      ++unnamed;
    }
  }
  if (unnamed > 0) wish.problems.push_back(fmt::format("and {} more annotations", unnamed));
  return wish;
}

}  // namespace optipod::extender
