// SPDX-License-Identifier: Apache-2.0
// Golden values: the first OptiPod's formula worked out apart from this code;
// docs/policies/relative.md
#include "extender/policies/relative/relative.hpp"

#include <cmath>

#include "tests/extender/questions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using test::Asked;
using test::Node;

constexpr std::array kSignal{Signal::kAllocatedBytesRate,
                             Signal::kPageFaultsRate,
                             Signal::kVoluntarySwitchesRate,
                             Signal::kInvoluntarySwitchesRate,
                             Signal::kReadsRate,
                             Signal::kReadBytesRate,
                             Signal::kWritesRate,
                             Signal::kWrittenBytesRate};

Node node(const std::array<double, 8>& rates) {
  Node made;
  for (std::size_t r = 0; r < rates.size(); ++r) made.value[kSignal[r]] = rates[r];
  return made;
}

const Relative kDefault;
constexpr double kKb = 1024;
const Node kA = node({100e6, 1000, 5000, 200, 800, 4000 * kKb, 300, 1500 * kKb});
const Node kB = node({300e6, 9000, 15000, 2200, 200, 1000 * kKb, 900, 9000 * kKb});
const Node kC = node({200e6, 2000, 10000, 600, 500, 2500 * kKb, 600, 4500 * kKb});

std::vector<double> scores(const std::vector<Node>& nodes, const RelativeParameters& p = {}) {
  return Asked(Relative(p), test::make_pod(), nodes).judgement.score;
}

TEST_CASE("relative: the first OptiPod's scores") {
  const std::vector<double> score = scores({kA, kB, kC});
  CHECK(100 * score[0] == Approx(95.600).margin(0.0005));
  CHECK(100 * score[1] == Approx(19.653).margin(0.0005));
  CHECK(100 * score[2] == Approx(81.093).margin(0.0005));
  // It cut them off to whole numbers.
  CHECK(std::trunc(100 * score[0]) == 95);
  CHECK(std::trunc(100 * score[1]) == 19);
  CHECK(std::trunc(100 * score[2]) == 81);
  CHECK(Relative().absolute());
}

TEST_CASE("relative explains a score by each rate's ratio to the mean") {
  const Asked asked(kDefault, test::make_pod(), std::vector<Node>{kA, kB, kC});
  CHECK(asked.term("allocated_bytes_to_mean", 0) == Approx(0.5));
  CHECK(asked.term("page_faults_to_mean", 1) == Approx(2.25));
  CHECK(asked.term("written_bytes_to_mean", 2) == Approx(0.9));
}

TEST_CASE("relative: a node without data is no opinion, and not counted in the mean") {
  const std::vector<double> score = scores({kA, Node{}, kB, kC});
  const std::vector<double> without = scores({kA, kB, kC});
  CHECK(std::isnan(score[1]));  // the original took it for zeros: the best of all
  CHECK(score[0] == Approx(without[0]));
  CHECK(score[2] == Approx(without[1]));
}

TEST_CASE("relative: a rate that is missing is neutral, never the best") {
  Node silent = kA;
  silent.value.erase(Signal::kInvoluntarySwitchesRate);  // 0.4 × 0.8 of the score
  const std::vector<double> score = scores({kA, silent, kB});
  CHECK(score[0] - score[1] == Approx(0.32 * 0.5));

  // The mean is over those who told: 200, 2200 and 600.
  Node half = kC;
  half.value[Signal::kInvoluntarySwitchesRate] = 600;
  const Asked asked(kDefault, test::make_pod(), std::vector<Node>{kA, silent, kB, half});
  CHECK(asked.term("involuntary_switches_to_mean", 3) == Approx(0.6));
  CHECK(std::isnan(asked.term("involuntary_switches_to_mean", 1)));
}

TEST_CASE("relative: a rate that nobody can be compared by is neutral for all") {
  const Node still = node({});
  CHECK(scores({still, still})[1] == Approx(0.5));  // nobody does anything
  CHECK(scores({kA, Node{}})[0] == Approx(0.5));    // only one has told
}

TEST_CASE("relative: equally loaded nodes score alike, whatever their load") {
  const std::vector<double> score = scores({kB, kB, kB});
  CHECK(score[0] == Approx(2.0 / 3));  // at the mean
  CHECK(score[1] == Approx(2.0 / 3));
}

TEST_CASE("relative: weights count beside each other, ratios bound a rate's score") {
  const std::vector<double> memory =
      scores({kA, kB}, {.memory_weight = 3, .cpu_weight = 0, .filesystem_weight = 0});
  // 100e6 and 300e6: ratios 0.5 and 1.5; 1000 and 9000: 0.2 and 1.8.
  CHECK(memory[0] == Approx(1));
  CHECK(memory[1] == Approx(0.6 / 3 + 0.4 * 0.2 / 1.5));
  const std::vector<double> wide = scores({kA, kB}, {1, 0, 0, /*best_ratio=*/0, /*worst_ratio=*/4});
  CHECK(wide[0] == Approx(0.6 * 0.875 + 0.4 * 0.95));
}

TEST_CASE("relative: bad parameters are named") {
  CHECK(problem(RelativeParameters{}).empty());
  CHECK(problem(RelativeParameters{.memory_weight = -1}).find("-1") != std::string::npos);
  CHECK(problem(RelativeParameters{.cpu_weight = kMissing}).find("nan") != std::string::npos);
  CHECK(problem(RelativeParameters{0, 0, 0}).find("all 0") != std::string::npos);
  CHECK(problem(RelativeParameters{.best_ratio = 2}).find("best_ratio 2") != std::string::npos);
  CHECK(problem(RelativeParameters{.worst_ratio = 1.4}).find("sum to 2") != std::string::npos);
  CHECK_FALSE(problem(RelativeParameters{.worst_ratio = kMissing}).empty());
}

}  // namespace
}  // namespace optipod::extender
