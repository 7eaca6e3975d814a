// SPDX-License-Identifier: Apache-2.0
#include "extender/config/parameters.hpp"

#include <fmt/core.h>

#include "common/config/yaml_section.hpp"

namespace optipod::extender {
namespace {

using config::YamlProblem;
using config::YamlSection;

void read_sensitivity(const YAML::Node& node, const std::string& path, Sensitivity& out,
                      YamlProblem& problem) {
  YamlSection s(node, path, problem);
  s.number("cpu", out.cpu, 0, 1);
  s.number("memory", out.memory, 0, 1);
  s.number("io", out.io, 0, 1);
  s.number("network", out.network, 0, 1);
}

void read_contention(const YAML::Node& node, ContentionParameters& p, YamlProblem& problem) {
  YamlSection s(node, "contention", problem);
  read_sensitivity(s.below("sensitivity"), "contention.sensitivity", p.sensitivity, problem);
  s.number("max_queueing_utilization", p.max_queueing_utilization, 0.01, 0.99);
  s.number("memory_knee", p.memory_knee, 0, 2);
  s.number("memory_full", p.memory_full, 0, 2);
  s.number("half_latency_seconds", p.half_latency, 1e-6, 3600);
  s.number("half_retransmits", p.half_retransmits, 1e-6, 1);
  s.number("reject_above", p.reject_above, 0, 1);
  if (p.memory_full <= p.memory_knee) {
    s.reject("memory_full", fmt::format("must be over memory_knee, which is {}", p.memory_knee));
  }
}

void read_congestion(const YAML::Node& node, CongestionParameters& p, YamlProblem& problem) {
  YamlSection s(node, "congestion", problem);
  s.number("max", p.max, 1e-9, 1e12);
  s.number("half_latency_seconds", p.half_latency, 1e-6, 3600);
  s.number("half_retransmits", p.half_retransmits, 1e-6, 1);
  if (const std::string wrong = extender::problem(p); !wrong.empty()) s.reject("", wrong);
}

void read_relative(const YAML::Node& node, RelativeParameters& p, YamlProblem& problem) {
  YamlSection s(node, "relative", problem);
  s.number("memory_weight", p.memory_weight, 0, 1e6);
  s.number("cpu_weight", p.cpu_weight, 0, 1e6);
  s.number("filesystem_weight", p.filesystem_weight, 0, 1e6);
  s.number("best_ratio", p.best_ratio, 0, 1e6);
  s.number("worst_ratio", p.worst_ratio, 0, 1e6);
  if (const std::string wrong = extender::problem(p); !wrong.empty()) s.reject("", wrong);
}

void read_safe(const YAML::Node& node, SafeParameters& p, YamlProblem& problem) {
  YamlSection s(node, "safe", problem);
  s.number("utilization", p.utilization, 0, 1);
  s.number("percentile", p.percentile, 0, 1);
  s.number("forecast_weight", p.forecast_weight, 0, 1);
  auto window = static_cast<std::size_t>(p.window);
  s.choice("window", {"15m", "1h", "24h"}, window);
  p.window = static_cast<SafeWindow>(window);
  s.number("overload_weight", p.overload_weight, 0, 1e6);
  s.number("balance_weight", p.balance_weight, 0, 1e6);
  s.flag("reject", p.reject);
  if (const std::string wrong = extender::problem(p); !wrong.empty()) s.reject("", wrong);
}

void read_pigeon(const YAML::Node& node, const wire::ResourceNames& names, PigeonParameters& p,
                 YamlProblem& problem) {
  YamlSection s(node, "pigeon", problem);
  std::string objective;
  s.text("objective", objective);
  if (!objective.empty()) {
    const auto known = pigeon_objective(objective);
    if (known) {
      p.objective = *known;
    } else {
      s.reject("objective", known.error());
    }
  }
  std::vector<std::string> listed;
  s.list("resources", listed);
  if (!listed.empty()) p.resources.clear();
  for (const std::string& name : listed) {
    const auto position = names.find(name);
    if (position) {
      p.resources.push_back(*position);
    } else {
      std::string kept;
      for (std::size_t r = 0; r < names.size(); ++r) kept += " " + names[r];
      s.reject("resources", fmt::format("'{}' is not kept (--extended-resource); there are:{}",
                                        name.substr(0, 64), kept));
    }
  }
  if (const std::string wrong = extender::problem(p); !wrong.empty()) s.reject("resources", wrong);
}

std::string read_combination(const YAML::Node& node, YamlProblem& problem) {
  YamlSection s(node, "policies", problem);
  std::string out;
  for (const auto& [name, weight] : s.weights(1e-6, 1e6)) {
    out += (out.empty() ? "" : ",") + fmt::format("{}={}", name, weight);
  }
  if (node.IsDefined() && out.empty()) s.reject("", "names no policy, as in {contention: 1}");
  return out;
}

/// A name that is no policy is said with the line it stands on.
void check_names(const YAML::Node& node, const PolicyParameters& parameters, YamlProblem& problem) {
  if (!node.IsMap()) return;
  const auto policies = make_policies(parameters);
  for (const auto& entry : node) {
    std::string names;
    bool known = false;
    for (const auto& policy : policies) {
      known = known || (entry.first.IsScalar() && entry.first.Scalar() == policy->name());
      names.append(" ").append(policy->name());
    }
    if (!known)
      problem.say(entry.first, fmt::format("policies: no such policy; there are:{}", names));
  }
}

}  // namespace

tl::expected<Parameters, std::string> read_parameters(const std::string& text,
                                                      const std::string& file, Parameters base,
                                                      const wire::ResourceNames& resources) {
  YamlProblem problem(file);
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    return tl::unexpected(fmt::format("{}:{}: {}", file, error.mark.line + 1, error.msg));
  }
  {
    YamlSection top(root, "", problem);
    const YAML::Node combination = top.below("policies");
    check_names(combination, base.policies, problem);
    if (std::string chosen = read_combination(combination, problem); !chosen.empty()) {
      base.combination = std::move(chosen);
    }
    PolicyParameters& policies = base.policies;
    read_congestion(top.below("congestion"), policies.congestion, problem);
    read_contention(top.below("contention"), policies.contention, problem);
    read_pigeon(top.below("pigeon"), resources, policies.pigeon, problem);
    read_relative(top.below("relative"), policies.relative, problem);
    read_safe(top.below("safe"), policies.safe, problem);
  }
  if (!problem.text().empty()) return tl::unexpected(problem.text());
  return base;
}

}  // namespace optipod::extender
