// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include <fmt/core.h>

#include "extender/config/parameters.hpp"

namespace optipod::extender {
namespace {

std::optional<int> whole(std::string_view text, int least, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return std::nullopt;
  }
  return value;
}

bool is_set(const char* value) {
  return value != nullptr && *value != '\0';
}

/// Reads whole numbers; keeps the first mistake.
class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}

  std::optional<int> number(const char* name, int least, int most) {
    const char* text = environment_(name);
    if (!is_set(text)) return std::nullopt;
    const std::optional<int> value = whole(text, least, most);
    if (!value) {
      reject(fmt::format("{}={}: is not a whole number from {} to {}", name, text, least, most));
    }
    return value;
  }
  void percent(const char* name, double& out) {
    if (const auto value = number(name, 0, 100)) out = *value / 100.0;
  }
  void reject(std::string what) {
    if (problem.empty()) problem = std::move(what);
  }
  std::string problem;

 private:
  const Environment& environment_;
};

/// The first n of the original's list, where this extender keeps them.
void first_resources(int count, const wire::ResourceNames& names, PigeonParameters& out,
                     Variables& variables) {
  constexpr std::array kOriginal{"cpu", "memory", "pods", "nvidia.com/gpu", "ephemeral-storage"};
  out.resources.clear();
  for (std::size_t r = 0; r < static_cast<std::size_t>(count); ++r) {
    const auto position = names.find(kOriginal[r]);
    if (position) {
      out.resources.push_back(*position);
    } else {
      variables.reject(fmt::format(
          "NUM_RESOURCES={}: {} is not kept; add it to --extended-resource", count, kOriginal[r]));
    }
  }
}

}  // namespace

tl::expected<Parameters, std::string> parameters_of_environment(
    const Environment& environment, const wire::ResourceNames& resources) {
  Parameters out;
  PolicyParameters& p = out.policies;
  Variables variables(environment);
  variables.percent("SAFEUTILIZATION", p.safe.utilization);
  variables.percent("SAFEPERCENTILE", p.safe.percentile);
  variables.percent("SAFEFORECASTWEIGHT", p.safe.forecast_weight);
  if (const auto max = variables.number("CONGESTION_FACTOR_MAX", 1, 1'000'000'000)) {
    p.congestion.max = *max;
  }
  if (const char* objective = environment("POLICY_OBJECTIVE"); is_set(objective)) {
    const auto known = pigeon_objective(objective);
    if (known) {
      p.pigeon.objective = *known;
    } else {
      variables.reject(fmt::format("POLICY_OBJECTIVE={}: {}", objective, known.error()));
    }
  }
  if (const auto count = variables.number("NUM_RESOURCES", 1, 5)) {
    first_resources(*count, resources, p.pigeon, variables);
  }
  if (variables.problem.empty()) {
    for (const std::string& wrong : {problem(p.safe), problem(p.pigeon), problem(p.congestion)}) {
      if (!wrong.empty()) variables.reject("environment: " + wrong);
    }
  }
  if (!variables.problem.empty()) return tl::unexpected(variables.problem);
  return out;
}

tl::expected<void, std::string> alias_environment() {
  // kube-safe-scheduler's names, and ours.
  constexpr std::array<std::pair<std::string_view, const char*>, 6> kLevels{
      {{"TRACE", "trace"},
       {"DEBUG", "debug"},
       {"INFO", "info"},
       {"WARNING", "warning"},
       {"ERROR", "error"},
       {"ALERT", "critical"}}};
  const char* level = std::getenv("LOG_LEVEL");
  if (is_set(level) && !is_set(std::getenv("OPTIPOD_LOG_LEVEL"))) {
    const auto found =
        std::ranges::find(kLevels, std::string_view(level), [](const auto& l) { return l.first; });
    if (found == kLevels.end()) {
      return tl::unexpected(
          fmt::format("LOG_LEVEL={}: is none of TRACE, DEBUG, INFO, WARNING, ERROR, ALERT", level));
    }
    setenv("OPTIPOD_LOG_LEVEL", found->second, 1);
  }
  const char* port = std::getenv("HTTP_PORT");
  if (is_set(port) && !is_set(std::getenv("OPTIPOD_WEB_LISTEN_ADDRESS"))) {
    if (!whole(port, 1, 65535)) {
      return tl::unexpected(fmt::format("HTTP_PORT={}: is no port (1 to 65535)", port));
    }
    setenv("OPTIPOD_WEB_LISTEN_ADDRESS", (":" + std::string(port)).c_str(), 1);
  }
  return {};
}

}  // namespace optipod::extender
