// SPDX-License-Identifier: Apache-2.0
// Golden values: computed apart from this code, from the formulas in docs/policies/contention.md.
#include <cmath>

#include "extender/policies/contention/contention.hpp"
#include "tests/extender/questions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using test::Asked;
using Values = std::map<Signal, double>;
constexpr double kGi = 1024.0 * 1024 * 1024;

std::vector<test::Node> nodes(std::initializer_list<Values> values) {
  std::vector<test::Node> made;
  for (const Values& v : values) made.push_back({.value = v, .facts = {}});
  return made;
}

Values node(double wait, double utilization, double cpus, double memory, double stall, double io) {
  return {{Signal::kCpus, cpus},
          {Signal::kCpuUtilization15s, utilization},
          {Signal::kRunqueueWait15s, wait},
          {Signal::kMemoryUtilization, memory},
          {Signal::kMemoryBytes, 16 * kGi},
          {Signal::kMemoryStall15s, stall},
          {Signal::kIoStall15s, io}};
}

const Contention kDefault;
const Values kIdle = node(0.02, 0.1, 4, 0.3, 0, 0);

wire::Pod pod(double cpu = 0.5, double memory = kGi) {
  return test::make_pod(cpu, memory);
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
  const Asked asked(kDefault, pod(),
                    nodes({kIdle, node(3, 0.98, 4, 0.3, 0, 0), node(0, 0.95, 2, 0.3, 0, 0),
                           node(0.02, 0.1, 4, 0.92, 0.25, 0), node(0.02, 0.15, 4, 0.3, 0, 0.6)}));
  const Judgement& j = asked.judgement;
  CHECK(j.score[0] == Approx(0.9803045472));
  CHECK(j.score[1] == Approx(0.2208540567));
  CHECK(j.score[2] == Approx(0.2966516791));
  CHECK(j.score[3] == Approx(0.4962791770));
  CHECK(j.score[4] == Approx(0.3919328510));
  CHECK(asked.term("cpu_loss", 1) == Approx(0.7791459433));
  CHECK(asked.term("memory_loss", 3) == Approx(0.49375));
  CHECK(asked.term("io_loss", 4) == Approx(0.6));
}

TEST_CASE("contention: the worse of two windows counts") {
  Values before = kIdle;
  before[Signal::kRunqueueWait1m] = 3;  // calm for 15 s, not forgiven yet
  Values now = kIdle;
  now[Signal::kRunqueueWait15s] = 3;
  now[Signal::kRunqueueWait1m] = 0.5;
  const Asked asked(kDefault, pod(), nodes({kIdle, before, now}));
  CHECK(asked.judgement.score[1] == Approx(asked.judgement.score[2]));
  CHECK(asked.judgement.score[1] < asked.judgement.score[0]);
}

TEST_CASE("contention: a larger request makes a nearly full node worse, an idle one hardly") {
  const Values full = node(0.1, 0.6, 4, 0.3, 0, 0);
  const Values large = node(0.1, 0.1, 64, 0.3, 0, 0);
  const Asked little(kDefault, pod(0.1), nodes({full, large}));
  const Asked much(kDefault, pod(4), nodes({full, large}));
  CHECK(much.judgement.score[0] < little.judgement.score[0] - 0.3);
  CHECK(much.judgement.score[1] > little.judgement.score[1] - 0.01);
}

TEST_CASE("contention: more of any signal is never better") {
  const std::vector<Signal> rising{
      Signal::kCpuUtilization15s, Signal::kCpuUtilization1m,  Signal::kRunqueueWait15s,
      Signal::kRunqueueWait1m,    Signal::kMemoryUtilization, Signal::kMemoryStall15s,
      Signal::kMemoryStall1m,     Signal::kIoStall15s,        Signal::kIoStall1m,
      Signal::kBlockInflight,     Signal::kBlockLatency15s,   Signal::kBlockLatency1m,
      Signal::kNetworkLoss15s,    Signal::kNetworkLoss1m};
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
        const Asked asked(kDefault, pod(), nodes({one}));
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
  const Asked asked(kDefault, pod(), nodes({slow}));
  CHECK(asked.term("io_loss", 0) == Approx(0.75 * 0.75));
}

TEST_CASE("contention: half of what is sent again at the documented share") {
  Values lossy = kIdle;
  lossy[Signal::kNetworkLoss1m] = 0.02;
  Values clean = kIdle;
  clean[Signal::kNetworkLoss1m] = 0;
  const Asked asked(kDefault, pod(), nodes({clean, lossy}));
  CHECK(asked.term("network_loss", 1) == Approx(0.5));
  CHECK(asked.judgement.score[1] == Approx(asked.judgement.score[0] / 2));
}

TEST_CASE("contention: a pod's profile says what it does not mind") {
  const auto snapshot =
      test::make_snapshot(nodes({node(3, 0.98, 4, 0.3, 0, 0), node(0.02, 0.15, 4, 0.3, 0, 0.6)}));
  const auto asked = [&](const Sensitivity& s) {
    return Asked(kDefault, pod(), snapshot, {}, {}, s).judgement.score;
  };
  const auto cpu = asked({.cpu = 1, .memory = 0.25, .io = 0.25, .network = 0.25});
  CHECK(cpu[1] == Approx((1 - 0.0201678724) * (1 - 0.25 * 0.6)));
  CHECK(cpu[0] < cpu[1]);
  const auto io = asked({.cpu = 0.25, .memory = 0.25, .io = 1, .network = 0.25});
  CHECK(io[0] > io[1]);
  const auto none = asked({.cpu = 0, .memory = 0, .io = 0, .network = 0});
  CHECK(std::isnan(none[0]));
  CHECK(std::isnan(none[1]));
}

TEST_CASE("contention: what is on its way to a node counts as if it were there") {
  const auto snapshot = test::make_snapshot(nodes({kIdle, kIdle}));
  const Asked asked(kDefault, pod(), snapshot, {},
                    {{}, {.usage = {1.6, 10 * kGi}, .requests = {}}});
  const Asked there(kDefault, pod(), nodes({node(0.02, 0.5, 4, 0.925, 0, 0)}));
  CHECK(asked.judgement.score[1] == Approx(there.judgement.score[0]));
  CHECK(asked.judgement.score[1] < asked.judgement.score[0]);
  CHECK(asked.term("booked_cpu", 1) == 1.6);
}

TEST_CASE("contention rejects only above its threshold, and says so beforehand") {
  ContentionParameters parameters;
  CHECK_FALSE(Contention(parameters).rejects());
  parameters.reject_above = 0.7;
  const Contention policy(parameters);
  CHECK(policy.rejects());
  CHECK_FALSE(policy.reject_reason().empty());
  const Asked asked(policy, pod(), nodes({kIdle, node(3, 0.98, 4, 0.3, 0, 0)}));
  CHECK(asked.judgement.reject == std::vector<std::uint8_t>{0, 1});
}

}  // namespace
}  // namespace optipod::extender
