// SPDX-License-Identifier: Apache-2.0
// What the agent says about itself: what failed (counted, and told without filling the log), what
// its programs missed and dropped, and whom the OOM killer took.
#include "agent/profiler/error_log.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "agent/profiler/sampler.hpp"
#include "agent/profiler/self_sampler.hpp"
#include "tests/agent/profiler/fake_kernel.hpp"
#include "tests/agent/profiler/temp_dir.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/log.hpp"

using namespace optipod::agent;
using namespace std::chrono_literals;
using optipod::test::FakeKernel;
using optipod::test::Log;
using optipod::test::TempDir;

namespace {

namespace shm = optipod::shm;

}  // namespace

TEST_CASE("the first error is told at once, and the others once a minute by their number") {
  Log log;
  ErrorLog errors;
  const ErrorLog::Clock::time_point begin{};
  errors.add("one", begin);
  CHECK(log.take() == "one\n");
  for (int i = 0; i < 59; ++i) errors.add("two", begin + std::chrono::seconds(i));
  CHECK(log.take().empty());
  errors.add("three", begin + 60s);
  CHECK(log.take() == "three; 59 more errors since the last that was told\n");
  errors.add("four", begin + 120s);
  CHECK(log.take() == "four\n");
  CHECK(errors.count() == 62);
}

TEST_CASE("a slot that cannot be given and a walk that cannot be run are errors, and told") {
  Log log;
  const TempDir dir;
  dir.make("cgroup/a.service");
  dir.make("pods");
  FakeKernel kernel;
  SamplerOptions options;
  options.root = {dir.path("cgroup"), "/"};
  options.pods_directory = dir.path("pods");
  Sampler sampler(options, kernel);
  shm::Tick tick;
  kernel.has_iterator = false;
  kernel.refuses_slots = true;
  sampler.sample(tick);
  CHECK(sampler.errors() == 1);
  CHECK(log.take().starts_with("no room for cgroup "));
  kernel.refuses_slots = false;
  kernel.failures = {"walk over tasks: no memory", "walk over cgroups: no memory"};
  sampler.sample(tick);
  CHECK(sampler.errors() == 3);
  sampler.sample(tick);
  CHECK(sampler.errors() == 3);
}

TEST_CASE("missed runs and drops are told where they are known, of as many programs as fit") {
  FakeKernel kernel;
  shm::Tick tick;
  SelfSampler(kernel, {}).sample(tick);
  CHECK(tick.agent.program_count == 0);
  CHECK((tick.node.valid & (shm::kValidDropped | shm::kValidMissedRuns)) == 0);

  constexpr std::size_t kMore = shm::AgentRecord::kMaxPrograms + 3;
  for (std::size_t i = 0; i < kMore; ++i) {
    ProgramCounts program{};
    program.runs = i;
    program.missed_runs = 100 + i;
    kernel.running.push_back(program);
  }
  SelfSampler(kernel, {}).sample(tick);
  REQUIRE(tick.agent.program_count == shm::AgentRecord::kMaxPrograms);
  for (std::size_t i = 0; i < shm::AgentRecord::kMaxPrograms; ++i) {
    CHECK(tick.agent.program(i).runs == i);
    CHECK(tick.agent.missed_runs[i] == 100 + i);
  }
  CHECK((tick.node.valid & shm::kValidDropped) != 0);
  CHECK((tick.node.valid & shm::kValidMissedRuns) != 0);
  CHECK((tick.node.valid & shm::kValidDroppedRequests) == 0);

  kernel.valid_bits |= shm::kValidDroppedRequests;
  kernel.running[5].missed_runs.reset();
  tick.node.valid = 0;
  SelfSampler(kernel, {}).sample(tick);
  CHECK((tick.node.valid & shm::kValidMissedRuns) == 0);
  CHECK((tick.node.valid & shm::kValidDroppedRequests) != 0);
}

TEST_CASE("each OOM kill is told with its container's name, and of many only how many") {
  Log log;
  const TempDir dir;
  dir.make("cgroup/a.service");
  dir.make("pods");
  FakeKernel kernel;
  kernel.has_iterator = false;
  SamplerOptions options;
  options.root = {dir.path("cgroup"), "/"};
  options.pods_directory = dir.path("pods");
  Sampler sampler(options, kernel);
  shm::Tick tick;
  sampler.sample(tick);
  REQUIRE(kernel.slot_of.size() == 1);
  kernel.kills = {{kernel.slot_of.begin()->second, 4711, "ja\x1bva"}, {kNodeOther, 12, "sh"}};
  sampler.sample(tick);
  CHECK(log.take() ==
        "out of memory: ja\\x1bva (pid 4711) of /a.service was killed\n"
        "out of memory: sh (pid 12) of no container was killed\n");
  kernel.kills.assign(25, {kNodeOther, 12, "sh"});
  sampler.sample(tick);
  const std::string told = log.take();
  CHECK(std::count(told.begin(), told.end(), '\n') == 11);
  CHECK(told.ends_with("out of memory: 15 more were killed\n"));
  // Gone by the time it is looked for, it still has its name.
  kernel.kills = {{kernel.slot_of.begin()->second, 4711, "java"}};
  std::filesystem::remove(dir.path("cgroup/a.service"));
  sampler.sample(tick);
  CHECK(log.take() == "out of memory: java (pid 4711) of /a.service was killed\n");
}
