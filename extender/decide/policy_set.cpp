// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/policy_set.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace optipod::extender {
namespace {

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// What a client sent, short enough for a message.
std::string_view shown(std::string_view text) {
  return text.substr(0, 64);
}

}  // namespace

std::size_t PolicySet::find(std::string_view name) const {
  const auto found =
      std::ranges::find(policies_, name, [](const auto& policy) { return policy->name(); });
  return static_cast<std::size_t>(found - policies_.begin());
}

tl::expected<Combination, std::string> PolicySet::parse(std::string_view text) const {
  Combination chosen;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = trimmed(text.substr(0, comma));
    const std::size_t equals = part.find('=');
    const std::string_view name = trimmed(part.substr(0, equals));
    WeightedPolicy one{.policy = find(name)};
    if (one.policy == size()) {
      std::string names;
      for (const auto& policy : policies_) names.append(" ").append(policy->name());
      return tl::unexpected(
          fmt::format("there is no policy '{}'; there are:{}", shown(name), names));
    }
    if (equals != std::string_view::npos) {
      const std::string_view weight = trimmed(part.substr(equals + 1));
      const char* end = weight.data() + weight.size();
      const auto [last, error] = std::from_chars(weight.data(), end, one.weight);
      if (error != std::errc() || last != end || !(one.weight > 0) || one.weight > 1e6) {
        return tl::unexpected(
            fmt::format("'{}': the weight must be a number over 0 and up to 1000000, as in {}=2",
                        shown(part), name));
      }
    }
    if (std::ranges::find(chosen, one.policy, &WeightedPolicy::policy) != chosen.end()) {
      return tl::unexpected(fmt::format("'{}' is named twice", name));
    }
    chosen.push_back(one);
    if (comma == std::string_view::npos) return chosen;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace optipod::extender
