// SPDX-License-Identifier: Apache-2.0
//
// Run-queue wait against the two references there are: the kernel's schedstat, and Debian's runqlat
// running beside us.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <regex>
#include <thread>

#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

constexpr Slot kSlot = kFirstSlot;
constexpr int kTries = 5;  // other work on the machine disturbs; a wrong value stays wrong

struct Means {
  double ours = 0, kernels = 0;
  std::uint64_t counted = 0, timeslices = 0;
};

/// k threads that always want to run share one CPU for two seconds.
Means measure_means(Kernel& kernel, const Cgroup& group, unsigned threads) {
  const Worker worker(group.path(), test_cpu(), [threads] { spin_threads(threads); });
  sleep_for(200ms);
  const SchedStat before = schedstat(worker.pid());
  const shm::Histogram then = kernel.slot_values(kSlot).cpu.runqueue_wait;
  sleep_for(2s);
  const shm::Histogram d = difference(kernel.slot_values(kSlot).cpu.runqueue_wait, then);
  const SchedStat after = schedstat(worker.pid());
  Means means;
  means.counted = events(d);
  means.timeslices = after.timeslices - before.timeslices;
  if (means.counted == 0 || means.timeslices == 0) return means;
  means.ours = static_cast<double>(d.sum_ns) / static_cast<double>(means.counted);
  means.kernels = static_cast<double>(after.run_delay_ns - before.run_delay_ns) /
                  static_cast<double>(means.timeslices);
  return means;
}

void agree_with_schedstat(Kernel& kernel) {
  REQUIRE((kernel.valid() & shm::kValidRunqueueWait) != 0);
  const Cgroup group = Cgroup::top("wait");
  REQUIRE(kernel.assign(group.fd(), group.id(), kSlot));
  for (const unsigned threads : {2U, 3U, 5U}) {
    Means means;
    for (int i = 0; i < kTries; ++i) {
      means = measure_means(kernel, group, threads);
      if (means.counted >= 50 && std::abs(means.ours / means.kernels - 1) <= 0.10) break;
    }
    INFO(threads << " threads: " << means.counted << " waits of " << means.ours << " ns, schedstat "
                 << means.timeslices << " of " << means.kernels);
    REQUIRE(means.counted >= 50);
    REQUIRE(means.timeslices >= 50);
    CHECK(means.ours / means.kernels == Approx(1).margin(0.10));
    const double seen = static_cast<double>(means.counted) / static_cast<double>(means.timeslices);
    CHECK(seen == Approx(1).margin(0.05));
  }
}

Kernel open_kernel(const KernelOptions& options) {
  auto kernel = Kernel::open(options);
  REQUIRE(kernel);
  INFO(kernel->diagnostics());
  return std::move(*kernel);
}

/// What runqlat printed: its upper edges in ns (a bucket "a -> b" holds whole µs, so it ends before
/// (b + 1) µs) and the share of waits below each.
struct Distribution {
  std::vector<std::pair<double, double>> below;
  std::uint64_t events = 0;
};

Distribution parse_runqlat(const std::string& text) {
  static const std::regex row(R"((\d+)\s*->\s*(\d+)\s*:\s*(\d+))");
  std::vector<std::pair<double, std::uint64_t>> rows;
  Distribution d;
  for (std::sregex_iterator it(text.begin(), text.end(), row), end; it != end; ++it) {
    rows.emplace_back((std::stod((*it)[2]) + 1) * 1000, std::stoull((*it)[3]));
    d.events += rows.back().second;
  }
  std::uint64_t sum = 0;
  for (const auto& [edge, count] : rows) {
    sum += count;
    d.below.emplace_back(edge, static_cast<double>(sum) / static_cast<double>(d.events));
  }
  return d;
}

/// Share of waits below `edge` ns. runqlat's edges are decimal (1000 * 2^k ns), ours binary
/// (1024 * 2^k ns), so theirs fall into our buckets near the end: interpolated on the log scale.
double share_below(const shm::Histogram& h, double edge) {
  double sum = 0;
  for (std::size_t k = 0; k < shm::kHistogramBuckets; ++k) {
    const double inside =
        std::clamp(std::log2(edge) - (static_cast<double>(k) - 1), 0.0, 1.0);  // (2^(k-1), 2^k]
    sum += inside * static_cast<double>(h.bucket[k]);
  }
  return sum / static_cast<double>(events(h));
}

std::string run_runqlat(pid_t pid) {
  const std::string command = "runqlat -p " + std::to_string(pid) + " 3 1 2>&1";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  REQUIRE(pipe);
  std::string text;
  std::array<char, 4096> buffer;
  for (std::size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) > 0;)
    text.append(buffer.data(), got);
  return text;
}

/// Threads with very different waits: some always run, others come and go.
void mixed_load() {
  std::thread(spin).detach();
  std::thread([] { pulse(300us, 700us); }).detach();
  std::thread([] { pulse(900us, 400us); }).detach();
  pulse(2500us, 1500us);
}

}  // namespace

TEST_CASE("run-queue wait agrees with schedstat, tp_btf and cgroup storage") {
  Kernel kernel = open_kernel(options_for());
  agree_with_schedstat(kernel);
}

TEST_CASE("run-queue wait agrees with schedstat, raw_tp and slot table") {
  KernelOptions options = options_for();
  options.force_raw_tp = true;
  Kernel kernel = open_kernel(options);
  agree_with_schedstat(kernel);
}

TEST_CASE("the raw_tp twin counts what tp_btf counts") {
  KernelOptions options = options_for();
  Kernel typed = open_kernel(options);
  options.force_raw_tp = true;
  Kernel raw = open_kernel(options);
  const Cgroup group = Cgroup::top("twins");
  REQUIRE(typed.assign(group.fd(), group.id(), kSlot));
  REQUIRE(raw.assign(group.fd(), group.id(), kSlot));
  Worker worker(group.path(), test_cpu(), mixed_load);
  sleep_for(2s);
  {
    const Worker end(std::move(worker));  // both see the same events from first to last
  }
  const shm::CpuStats a = typed.slot_values(kSlot).cpu;
  const shm::CpuStats b = raw.slot_values(kSlot).cpu;
  REQUIRE(events(a.runqueue_wait) > 500);
  CHECK(events(a.runqueue_wait) == events(b.runqueue_wait));
  for (const std::size_t kind : {shm::kVoluntary, shm::kInvoluntary}) {
    CHECK(a.switches[kind] > 0);
    CHECK(a.switches[kind] == b.switches[kind]);
  }
  for (const std::size_t by : {shm::kBySelf, shm::kByOther, shm::kBySystem})
    CHECK(a.preemptions[by] == b.preemptions[by]);
  CHECK(static_cast<double>(a.runqueue_wait.sum_ns) ==
        Approx(static_cast<double>(b.runqueue_wait.sum_ns)).epsilon(0.02));
  // The second program of a switch reads the clock a little later.
  std::uint64_t moved = 0;
  for (std::size_t i = 0; i < shm::kHistogramBuckets; ++i)
    moved += static_cast<std::uint64_t>(
        std::abs(static_cast<std::int64_t>(a.runqueue_wait.bucket[i] - b.runqueue_wait.bucket[i])));
  CHECK(static_cast<double>(moved) < 0.1 * static_cast<double>(events(a.runqueue_wait)));
}

TEST_CASE("run-queue wait is distributed as runqlat sees it") {
  Kernel kernel = open_kernel(options_for());
  const Cgroup group = Cgroup::top("runqlat");
  REQUIRE(kernel.assign(group.fd(), group.id(), kSlot));
  const Worker worker(group.path(), test_cpu(), mixed_load);
  // Below, runqlat starts later than the wait does: at the wakeup's tracepoint, not at the enqueue.
  constexpr double kFirstEdge = 128'000;
  constexpr double kMargin = 0.08;
  double worst = 1;
  std::size_t compared = 0;
  for (int i = 0; i < kTries && worst > kMargin; ++i) {
    const shm::Histogram then = kernel.slot_values(kSlot).cpu.runqueue_wait;
    const std::string text = run_runqlat(worker.pid());
    const shm::Histogram d = difference(kernel.slot_values(kSlot).cpu.runqueue_wait, then);
    const Distribution theirs = parse_runqlat(text);
    INFO(text);
    REQUIRE(theirs.events > 300);
    REQUIRE(events(d) > 300);
    worst = 0;
    compared = 0;
    for (const auto& [edge, share] : theirs.below) {
      if (edge < kFirstEdge) continue;
      if (share > 0.02 && share < 0.98) ++compared;
      worst = std::max(worst, std::abs(share_below(d, edge) - share));
    }
  }
  CHECK(compared >= 3);  // edges with waits on both sides
  CHECK(worst <= kMargin);
}
