// SPDX-License-Identifier: Apache-2.0
// Golden values: kube-safe-scheduler's formula worked out apart from this code;
// docs/policies/congestion.md
#include "extender/policies/congestion/congestion.hpp"

#include <cmath>

#include "tests/extender/questions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using test::Asked;
using test::Node;

const Congestion kDefault;

Node annotated(double factor, bool known = true) {
  Node node;
  node.facts.known = known;
  node.facts.congestion = factor;
  return node;
}

Node measured(double wait, double stall, double io, double lost) {
  Node node;
  node.value = {{Signal::kRunqueueWait15s, wait},
                {Signal::kMemoryStall15s, stall},
                {Signal::kIoStall1m, io},
                {Signal::kNetworkLoss1m, lost}};
  return node;
}

TEST_CASE("congestion: kube-safe-scheduler's scores of the annotation") {
  std::vector<Node> nodes;
  for (const double factor : {0., 5., 25., 50., 95., 100., 150., -3.}) {
    nodes.push_back(annotated(factor));
  }
  const Asked asked(kDefault, test::make_pod(), nodes);
  std::vector<double> scores = asked.judgement.score;
  for (double& score : scores) score = std::round(10 * score);
  CHECK(scores == std::vector<double>{10, 10, 8, 5, 1, 0, 0, 10});
  CHECK(kDefault.absolute());

  const Congestion ten({.max = 10});
  const Asked of_ten(ten, test::make_pod(), std::vector<Node>{annotated(4)});
  CHECK(of_ten.judgement.score[0] == Approx(0.6));
}

TEST_CASE("congestion: measured waiting makes the factor where there is no annotation") {
  const Asked asked(kDefault, test::make_pod(),
                    std::vector<Node>{measured(0, 0, 0, 0), measured(1, 0, 0, 0),
                                      measured(0.25, 0.1, 0.5, 0.02)});
  CHECK(asked.judgement.score[0] == 1);
  CHECK(asked.judgement.score[1] == Approx(0.5));
  CHECK(asked.judgement.score[2] == Approx(0.8 * 0.9 * 0.5 * 0.5));
  CHECK(asked.term("factor", 2) == Approx(82));
  CHECK(asked.term("cpu_loss", 2) == Approx(0.2));
  CHECK(asked.term("io_loss", 2) == Approx(0.5));
  CHECK(std::isnan(asked.term("annotation", 2)));
}

TEST_CASE("congestion: the annotation wins over what was measured, and is named") {
  Node both = measured(3, 0, 0, 0);
  both.facts.known = true;
  both.facts.congestion = 10;
  const Asked asked(kDefault, test::make_pod(), std::vector<Node>{both});
  CHECK(asked.judgement.score[0] == Approx(0.9));
  CHECK(asked.term("annotation", 0) == 10);
  CHECK(asked.term("factor", 0) == Approx(10));
  CHECK(asked.term("cpu_loss", 0) == Approx(0.75));
}

TEST_CASE("congestion: neither annotation nor measurement is no opinion") {
  const Asked asked(kDefault, test::make_pod(),
                    std::vector<Node>{Node{}, annotated(20, /*known=*/false), annotated(20)});
  CHECK(std::isnan(asked.judgement.score[0]));  // not congested at all in the original
  CHECK(std::isnan(asked.judgement.score[1]));
  CHECK(asked.judgement.score[2] == Approx(0.8));
}

TEST_CASE("congestion: what a node has not told is the candidates' mean, or nobody's cost") {
  Node silent = measured(0, 0, 0, 0);
  silent.value.erase(Signal::kIoStall1m);
  const Asked asked(kDefault, test::make_pod(),
                    std::vector<Node>{measured(0, 0, 0, 0), measured(0, 0, 0.6, 0), silent});
  CHECK(asked.judgement.score[2] == Approx(1 - 0.3));

  Node wait_only;
  wait_only.value = {{Signal::kRunqueueWait1m, 1}};
  const Asked alone(kDefault, test::make_pod(), std::vector<Node>{wait_only});
  CHECK(alone.judgement.score[0] == Approx(0.5));
}

TEST_CASE("congestion: bad parameters are named") {
  CHECK(problem(CongestionParameters{}).empty());
  CHECK(problem(CongestionParameters{.max = 0}).find("CONGESTION_FACTOR_MAX") != std::string::npos);
  CHECK_FALSE(problem(CongestionParameters{.max = kMissing}).empty());
  CHECK(problem(CongestionParameters{.half_latency = 0}).find("half_latency_seconds 0") !=
        std::string::npos);
  CHECK_FALSE(problem(CongestionParameters{.half_retransmits = -1}).empty());
}

}  // namespace
}  // namespace optipod::extender
