// SPDX-License-Identifier: Apache-2.0
// Golden values: computed apart from this code, from the formulas in docs/policies/contention.md.
#include <cmath>

#include "extender/policies/contention/contention.hpp"
#include "extender/policies/registry.hpp"
#include "extender/policies/template/template.hpp"
#include "tests/extender/support.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using test::Asked;
using Values = std::map<Signal, double>;
constexpr double kGi = 1024.0 * 1024 * 1024;

Values node(double wait, double utilization, double cpus, double memory, double stall, double io) {
  return {{Signal::kCpus, cpus},
          {Signal::kCpuUtilization15s, utilization},
          {Signal::kRunqueueWait15s, wait},
          {Signal::kMemoryUtilization, memory},
          {Signal::kMemoryBytes, 16 * kGi},
          {Signal::kMemoryStall15s, stall},
          {Signal::kIoStall15s, io}};
}

const Values kIdle = node(0.02, 0.1, 4, 0.3, 0, 0);

wire::Pod pod(double cpu = 0.5, double memory = kGi) {
  wire::Pod p;
  p.requests = {cpu, memory};
  return p;
}

TEST_CASE("Sakasegawa's formula: exact for one server, known values for more") {
  CHECK(queueing_wait(1, 0.5) == Approx(1.0));  // M/M/1: rho / (1 - rho)
  CHECK(queueing_wait(1, 0.8) == Approx(4.0));
  CHECK(queueing_wait(4, 0.5) == Approx(0.1117016452));
  CHECK(queueing_wait(4, 0.8) == Approx(0.7715492560));
  CHECK(queueing_wait(2, 0.8) == Approx(1.8091306808));
  CHECK(queueing_wait(64, 0.8) == Approx(0.0076693029));
  CHECK(queueing_wait(8, 0) == 0);
}

TEST_CASE("contention: golden values") {
  const Asked asked(Contention(), pod(),
                    {kIdle, node(3, 0.98, 4, 0.3, 0, 0), node(0, 0.95, 2, 0.3, 0, 0),
                     node(0.02, 0.1, 4, 0.92, 0.25, 0), node(0.02, 0.15, 4, 0.3, 0, 0.6)});
  const Judgement& j = asked.judgement;
  CHECK(j.score[0] == Approx(0.9803045472));
  CHECK(j.score[1] == Approx(0.2208540567));
  CHECK(j.score[2] == Approx(0.2966516791));
  CHECK(j.score[3] == Approx(0.4962791770));
  CHECK(j.score[4] == Approx(0.3919328510));
  REQUIRE(j.losses.size() == 3);
  CHECK(j.losses[0].name == "cpu");
  CHECK(j.losses[0].share[1] == Approx(0.7791459433));
  CHECK(j.losses[1].share[3] == Approx(0.49375));
  CHECK(j.losses[2].share[4] == Approx(0.6));
}

TEST_CASE("contention: the worse of two windows counts") {
  Values before = kIdle;
  before[Signal::kRunqueueWait1m] = 3;  // calm for 15 s, not forgiven yet
  Values now = kIdle;
  now[Signal::kRunqueueWait15s] = 3;
  now[Signal::kRunqueueWait1m] = 0.5;
  const Asked asked(Contention(), pod(), {kIdle, before, now});
  CHECK(asked.judgement.score[1] == Approx(asked.judgement.score[2]));
  CHECK(asked.judgement.score[1] < asked.judgement.score[0]);
}

TEST_CASE("contention: a larger request makes a nearly full node worse, an idle one hardly") {
  const Values full = node(0.1, 0.6, 4, 0.3, 0, 0);
  const Values large = node(0.1, 0.1, 64, 0.3, 0, 0);
  const Asked little(Contention(), pod(0.1), {full, large});
  const Asked much(Contention(), pod(4), {full, large});
  CHECK(much.judgement.score[0] < little.judgement.score[0] - 0.3);
  CHECK(much.judgement.score[1] > little.judgement.score[1] - 0.01);
}

TEST_CASE("contention: more of any signal is never better") {
  const std::vector<Signal> rising{
      Signal::kCpuUtilization15s, Signal::kCpuUtilization1m,  Signal::kRunqueueWait15s,
      Signal::kRunqueueWait1m,    Signal::kMemoryUtilization, Signal::kMemoryStall15s,
      Signal::kMemoryStall1m,     Signal::kIoStall15s,        Signal::kIoStall1m,
      Signal::kBlockInflight,     Signal::kBlockLatency15s,   Signal::kBlockLatency1m};
  Values base = kIdle;
  for (const bool pressure : {true, false}) {
    if (!pressure) {
      base.erase(Signal::kIoStall15s);
      base[Signal::kBlockInflight] = 1;
      base[Signal::kBlockLatency15s] = 0.001;
    }
    for (const Signal signal : rising) {
      double last = 2;
      for (const double value : {0.0, 0.01, 0.2, 0.5, 0.79, 0.81, 0.95, 1.0, 1.5, 30.0, 1e300}) {
        Values one = base;
        one[signal] = value;
        const Asked asked(Contention(), pod(), {one});
        INFO(kSignalInfo[index(signal)].key << " = " << value);
        CHECK(asked.judgement.score[0] <= last);
        CHECK(asked.judgement.score[0] >= 0);
        last = asked.judgement.score[0];
      }
    }
  }
}

TEST_CASE("contention: without I/O pressure, slow and queueing devices are the evidence") {
  Values slow = kIdle;
  slow.erase(Signal::kIoStall15s);
  slow[Signal::kBlockInflight] = 3;
  slow[Signal::kBlockLatency15s] = 0.030;
  const Asked asked(Contention(), pod(), {slow});
  CHECK(asked.judgement.losses[2].share[0] == Approx(0.75 * 0.75));
}

TEST_CASE("every policy: what a node does not tell is never to its advantage") {
  const Values bad = node(2, 0.7, 4, 0.9, 0.3, 0.4);
  for (const auto& policy : make_policies({})) {
    INFO(policy->name());
    for (const auto& [missing, value] : kIdle) {
      // The best node, but for one thing it does not say.
      Values silent = kIdle;
      silent.erase(missing);
      const Asked asked(*policy, pod(), {kIdle, silent, bad});
      const auto& score = asked.judgement.score;
      if (!std::isnan(score[1])) CHECK(score[1] <= score[0] + 1e-12);
    }
    const Asked nothing(*policy, pod(), {kIdle, {}, bad});
    CHECK(std::isnan(nothing.judgement.score[1]));
    const Asked none(*policy, pod(), {{}, {}});
    CHECK(std::isnan(none.judgement.score[0]));
    const Asked empty(*policy, pod(), {});
    CHECK(empty.judgement.score.empty());
  }
}

TEST_CASE("every policy: the order of candidates is irrelevant, and no input makes NaN") {
  const std::vector<double> odd{0, 1e-300, 1e-9, 0.5, 1, 1.05, 64, 1e12, 1e300};
  for (const auto& policy : make_policies({})) {
    INFO(policy->name());
    std::vector<Values> candidates;
    for (std::size_t i = 0; i < 200; ++i) {
      Values v;
      for (std::size_t s = 0; s < kSignals; ++s) {
        if ((i * 7 + s * 3) % 5 != 0)
          v[static_cast<Signal>(s)] = odd[(i * 31 + s * 17) % odd.size()];
      }
      candidates.push_back(v);
    }
    const Asked forth(*policy, pod(1e6, 1e30), candidates);
    const std::vector<Values> reversed(candidates.rbegin(), candidates.rend());
    const Asked back(*policy, pod(1e6, 1e30), reversed);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const double score = forth.judgement.score[i];
      if (std::isnan(score)) {  // an opinion is missing only where nothing it needs is known
        for (const auto& [signal, value] : candidates[i]) {
          const bool core = signal == Signal::kRunqueueWait15s || signal == Signal::kMemoryStall15s;
          CHECK_FALSE((policy->name() == "contention" && core));
        }
        continue;
      }
      CHECK(score >= 0);
      CHECK(score <= 1);
      CHECK(score == Approx(back.judgement.score[candidates.size() - 1 - i]).margin(1e-9));
    }
  }
}

TEST_CASE("template: the fewest CPUs busy") {
  const Asked asked(Template(), pod(),
                    {{{Signal::kCpuUtilization1m, 0.25}},
                     {{Signal::kCpuUtilization1m, 0.25}, {Signal::kCpuUtilization15s, 0.75}},
                     {{Signal::kCpuUtilization1m, 1.5}}});
  CHECK(asked.judgement.score == std::vector<double>{0.75, 0.25, 0});
}

TEST_CASE("contention rejects only above its threshold, and says so beforehand") {
  ContentionParameters parameters;
  CHECK_FALSE(Contention(parameters).rejects());
  parameters.reject_above = 0.7;
  const Contention policy(parameters);
  CHECK(policy.rejects());
  CHECK_FALSE(policy.reject_reason().empty());
  const Asked asked(policy, pod(), {kIdle, node(3, 0.98, 4, 0.3, 0, 0)});
  CHECK(asked.judgement.reject == std::vector<std::uint8_t>{0, 1});
}

}  // namespace
}  // namespace optipod::extender
