// SPDX-License-Identifier: Apache-2.0
//
// Decisions on a made-up cluster, by policies whose scores are told to them.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "extender/decide/engine.hpp"
#include "extender/policies/template/template.hpp"
#include "tests/extender/support.hpp"

namespace optipod::extender::test {

inline constexpr std::int64_t kNow = 1'700'000'000'000;

/// Scores what it is told in cpu_utilization_15s, and rejects over 0.9.
class Told final : public Policy {
 public:
  std::string_view name() const override { return "told"; }
  SignalSet needs() const override { return SignalSet(Signal::kCpuUtilization15s); }
  bool rejects() const override { return true; }
  std::string_view reject_reason() const override { return "told to"; }
  void judge(const Question& q, const Prepared*, Judgement& out) const override {
    for (std::size_t i = 0; i < q.size(); ++i) {
      out.score[i] = 1 - q.value(Signal::kCpuUtilization15s, i);
      out.reject[i] = out.score[i] < 0.1 ? 1 : 0;
    }
  }
  std::span<const std::string_view> terms() const override {
    static constexpr std::array<std::string_view, 1> kTerms{"loss"};
    return kTerms;
  }
  void explain(const Question&, const Prepared*, const Judgement& judged, std::size_t i,
               std::span<double> values) const override {
    values[0] = 1 - judged.score[i];
  }
};

/// The same, its scores being the answer themselves.
class Absolute final : public Policy {
 public:
  std::string_view name() const override { return "absolute"; }
  SignalSet needs() const override { return SignalSet(Signal::kCpuUtilization15s); }
  void judge(const Question& q, const Prepared*, Judgement& out) const override {
    for (std::size_t i = 0; i < q.size(); ++i) {
      out.score[i] = 1 - q.value(Signal::kCpuUtilization15s, i);
    }
  }
  bool absolute() const override { return true; }
};

/// Prefers what has more CPUs left, by what Kubernetes says alone.
class Facts final : public Policy {
 public:
  std::string_view name() const override { return "facts"; }
  SignalSet needs() const override { return {}; }
  void judge(const Question& q, const Prepared*, Judgement& out) const override {
    for (std::size_t i = 0; i < q.size(); ++i) {
      const NodeFacts* f = q.facts(i);
      if (f == nullptr) continue;
      const double asked = f->requested.cpu() + q.booked(i).requests.cpu();
      out.score[i] = 1 - std::min(1.0, asked / f->allocatable.cpu());
    }
  }
};

enum : std::size_t { kTold, kTemplate, kAbsolute, kFacts };

inline std::shared_ptr<const PolicySet> policy_set() {
  std::vector<std::unique_ptr<const Policy>> all;
  all.push_back(std::make_unique<Told>());
  all.push_back(std::make_unique<Template>());
  all.push_back(std::make_unique<Absolute>());
  all.push_back(std::make_unique<Facts>());
  return std::make_shared<const PolicySet>(std::move(all));
}

inline const Combination kOnly{{kTold, 1}};
using Names = std::vector<std::string_view>;

inline std::shared_ptr<const World> world(std::shared_ptr<const Snapshot> snapshot) {
  return make_world(std::move(snapshot), policy_set());
}

/// One request; what it leads to stays alive with it.
struct Asking {
  explicit Asking(Names names, std::int64_t now = kNow) : nodes(std::move(names)), now_ms(now) {
    pod.name = "web";
    pod.name_space = "shop";
    pod.uid = "u-1";
  }
  [[nodiscard]] Inquiry inquiry() const {
    return {.pod = pod,
            .nodes = nodes,
            .policies = policies,
            .expected = expected,
            .sensitivity = {},
            .now_ms = now_ms,
            .filter = filter,
            .shortlist = shortlist};
  }
  const Decision& ask(const World& w, const Ledger& ledger = Ledger()) {
    decide(w, ledger, inquiry(), options, decision);
    return decision;
  }

  Names nodes;
  std::int64_t now_ms;
  wire::Pod pod;
  Combination policies = kOnly;
  Usage expected{.cpu = 1, .memory = 0};
  bool filter = false, shortlist = false;
  DecideOptions options;
  Decision decision;
};

inline Cluster losses(const std::map<std::string, double>& told) {
  Cluster cluster;
  for (const auto& [node, loss] : told) cluster[node] = {{Signal::kCpuUtilization15s, loss}};
  return cluster;
}

}  // namespace optipod::extender::test
