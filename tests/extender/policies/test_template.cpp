// SPDX-License-Identifier: Apache-2.0
#include "extender/policies/template/template.hpp"
#include "tests/extender/questions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

TEST_CASE("template: the fewest CPUs busy") {
  const std::vector<test::Node> nodes{
      {.value = {{Signal::kCpuUtilization1m, 0.25}}, .facts = {}},
      {.value = {{Signal::kCpuUtilization1m, 0.25}, {Signal::kCpuUtilization15s, 0.75}},
       .facts = {}},
      {.value = {{Signal::kCpuUtilization1m, 1.5}}, .facts = {}}};
  const Template policy;
  const test::Asked asked(policy, test::make_pod(), nodes);
  CHECK(asked.judgement.score == std::vector<double>{0.75, 0.25, 0});
}

}  // namespace
}  // namespace optipod::extender
