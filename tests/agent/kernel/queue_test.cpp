// SPDX-License-Identifier: Apache-2.0
//
// Looks at run queues beside the time that tasks wait there: by Little's law the mean length is the
// sum of the waits that a second brings. Those of our tasks the kernel tells, those of whoever else
// is on that CPU the programs on sched_switch, which wait_test holds against the kernel.
#include <numeric>

#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

std::uint64_t looks(const shm::QueueLengths& lengths) {
  return std::accumulate(std::begin(lengths.looks), std::end(lengths.looks), std::uint64_t{0});
}

KernelOptions options_for_cpu(int cpu) {
  KernelOptions options = options_for();
  options.cpus = {static_cast<unsigned>(cpu)};
  return options;
}

/// The mean length of the CPU's run queue: as looked at, as all waits make it, and as those of one
/// process do.
struct Means {
  double looked, waited, waited_by_it;
  double looks_per_second;
};
Means measure(const Kernel& kernel, pid_t process, std::chrono::milliseconds time) {
  const auto waits = [&] { return kernel.node_values().cpu.runqueue_wait.sum_ns; };
  const auto its_waits = [&] { return schedstat(process).run_delay_ns; };
  const shm::QueueLengths then = kernel.queue_lengths();
  const std::uint64_t waited_then = waits(), its_then = its_waits(), from = now_ns();
  sleep_for(time);
  const shm::QueueLengths now = kernel.queue_lengths();
  const auto waited = static_cast<double>(waits() - waited_then);
  const auto its = static_cast<double>(its_waits() - its_then);
  const auto passed = static_cast<double>(now_ns() - from);
  const std::uint64_t count = looks(now) - looks(then);
  return {.looked = static_cast<double>(now.waiting - then.waiting) / static_cast<double>(count),
          .waited = waited / passed,
          .waited_by_it = its / passed,
          .looks_per_second = static_cast<double>(count) / passed * 1e9};
}

}  // namespace

TEST_CASE("the mean length of a run queue is the time that tasks wait in it") {
  auto kernel = Kernel::open(options_for_cpu(test_cpu()));
  REQUIRE(kernel);
  constexpr std::uint64_t kNeeds = shm::kValidQueueLengths | shm::kValidRunqueueWait;
  REQUIRE((kernel->valid() & kNeeds) == kNeeds);
  const Cgroup group = Cgroup::top("queue");
  double last = 0;
  for (const unsigned tasks : {2u, 6u}) {
    const Worker worker(group.path(), test_cpu(), [tasks] { spin_threads(tasks); });
    sleep_for(200ms);
    const Means means = measure(*kernel, worker.pid(), 4s);
    INFO(tasks << " tasks: " << means.looked << ", " << means.looks_per_second
               << " looks/s, waits make " << means.waited << ", theirs " << means.waited_by_it);
    CHECK(means.looks_per_second > 15);  // a virtual CPU may stand still at times
    CHECK(means.looks_per_second < 55);
    CHECK(means.waited_by_it >= 0.8 * (tasks - 1));
    CHECK(means.looked >= 0.8 * means.waited_by_it);
    CHECK(means.looked == Approx(means.waited).epsilon(0.2));
    CHECK(means.looked > last);
    last = means.looked;
  }
}

TEST_CASE("each length is in its bucket") {
  auto kernel = Kernel::open(options_for_cpu(test_cpu()));
  REQUIRE(kernel);
  const shm::QueueLengths then = kernel->queue_lengths();
  const Worker worker("", test_cpu(), [] { spin_threads(5); });
  sleep_for(2s);
  shm::QueueLengths grown = kernel->queue_lengths();
  for (std::size_t i = 0; i < shm::kQueueBuckets; ++i) grown.looks[i] -= then.looks[i];
  // What the buckets allow the sum to be.
  std::uint64_t least = 0, most = 0;
  for (std::size_t i = 1; i + 1 < shm::kQueueBuckets; ++i) {
    least += grown.looks[i] * (i == 1 ? 1 : (1u << (i - 2)) + 1);
    most += grown.looks[i] * (1u << (i - 1));
  }
  CHECK(grown.looks[shm::kQueueBuckets - 1] == 0);
  CHECK(grown.waiting - then.waiting >= least);
  CHECK(grown.waiting - then.waiting <= most);
  CHECK(looks(grown) - grown.looks[0] - grown.looks[1] >= looks(grown) / 2);
}

TEST_CASE("a second agent looks for itself, and leaves the first one's timer alone") {
  auto one = Kernel::open(options_for_cpu(test_cpu()));
  REQUIRE(one);
  {
    auto other = Kernel::open(options_for_cpu(test_cpu()));
    REQUIRE(other);
    sleep_for(500ms);
    CHECK(looks(other->queue_lengths()) >= 5);
  }
  const std::uint64_t then = looks(one->queue_lengths());
  sleep_for(500ms);
  CHECK(looks(one->queue_lengths()) > then);
}

TEST_CASE("without eBPF timers lengths are not told, and everything else is") {
  kernel::Probes probes = kernel::probe(options_for());
  probes.queue_timer = false;
  auto kernel = kernel::open(options_for(), probes);
  REQUIRE(kernel);
  CHECK((kernel->valid() & shm::kValidQueueLengths) == 0);
  CHECK((kernel->valid() & shm::kValidSwitches) != 0);
  CHECK(looks(kernel->queue_lengths()) == 0);
}
