// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <sstream>
#include <string>

#include "agent/top/rates.hpp"
#include "agent/top/view.hpp"
#include "tests/support/catch.hpp"

namespace {

using namespace optipod;
using top::difference;
using top::quantile;

constexpr std::uint64_t kSecond = 1'000'000'000;

shm::ContainerRecord container(std::uint64_t id, const char* name) {
  shm::ContainerRecord c{};
  c.cgroup_id = id;
  c.valid = shm::kValidRunqueueWait | shm::kValidCpuTime | shm::kValidPreemptions |
            shm::kValidPressureIo | shm::kValidBlockIo;
  std::strncpy(c.container, name, sizeof c.container - 1);
  return c;
}

shm::Tick tick(std::uint64_t number) {
  shm::Tick t;
  t.node.tick = number;
  t.node.sampled_boottime_ns = (100 + number) * kSecond;
  t.node.cpus = 2;
  t.node.valid = shm::kValidRunqueueWait | shm::kValidCpuTime | shm::kValidSwitches |
                 shm::kValidPreemptions | shm::kValidPressureIo;
  std::strcpy(t.node.node_name, "node-1");
  std::strcpy(t.node.kernel_release, "6.18");
  std::strcpy(t.node.cgroup_root, "/");
  return t;
}

std::string show(const top::State& state, unsigned columns = 120, unsigned rows = 0) {
  top::Screen screen;
  screen.columns = columns;
  screen.rows = rows;
  return top::render(state, screen);
}

top::State live(const shm::Tick& before, const shm::Tick& now) {
  top::State state;
  state.attach = shm::AttachState::kAttached;
  state.writer = shm::WriterState::kLive;
  state.tick = &now;
  state.delta = difference(before, now);
  return state;
}

TEST_CASE("quantiles are of what was added, linear within a bucket") {
  shm::Histogram before{}, now{};
  CHECK_FALSE(quantile(before, now, 0.95).has_value());
  before.bucket[30] = now.bucket[30] = 1000;  // old events do not count
  now.bucket[20] = 100;                       // 2^19 < d <= 2^20 ns
  CHECK(quantile(before, now, 0.5).value() == Approx(1.5 * 524288e-9));
  CHECK(quantile(before, now, 1.0).value() == Approx(1048576e-9));
  now.bucket[21] = 100;
  CHECK(quantile(before, now, 0.75).value() == Approx((1048576 + 0.5 * 1048576) * 1e-9));
  now = before;
  now.bucket[31] = 5;  // above every bound: at least the last bound
  CHECK(quantile(before, now, 0.95).value() == Approx(1073741824e-9));
}

TEST_CASE("rates are per second of the samples' own clock") {
  shm::Tick before = tick(1), now = tick(3);  // two seconds
  now.node.cpu_time.usage_ns = 3 * kSecond;
  now.node.cpu.runqueue_wait.sum_ns = 5 * kSecond;
  now.node.cpu.switches[shm::kInvoluntary] = 20;
  now.node.pressure.waiting_ns[shm::kIo] = kSecond;
  const auto delta = difference(before, now);
  REQUIRE(delta.has_value());
  CHECK(delta->seconds == Approx(2));
  CHECK(delta->node.cpus_used.value() == Approx(1.5));
  CHECK(delta->node.waiting.value() == Approx(2.5));
  CHECK(delta->node.switches[shm::kInvoluntary].value() == Approx(10));
  CHECK(delta->node.stalled[shm::kIo].value() == Approx(0.5));
  // What the kernel does not tell is absent, not zero.
  CHECK_FALSE(delta->node.stalled[shm::kMemory].has_value());
  CHECK_FALSE(delta->node.read_bytes.has_value());
}

TEST_CASE("ticks out of order or of the same moment give nothing") {
  shm::Tick a = tick(1), b = tick(2);
  CHECK_FALSE(difference(b, a).has_value());
  CHECK_FALSE(difference(a, a).has_value());
}

TEST_CASE("what hurts most stands first; a reused cgroup id is another container") {
  shm::Tick before = tick(1), now = tick(2);
  for (auto* t : {&before, &now}) {
    t->containers = {container(1, "/busy"), container(2, "/waiting"), container(3, "/recycled")};
  }
  now.containers[0].cpu_time.usage_ns = kSecond;
  now.containers[1].cpu.runqueue_wait.sum_ns = kSecond / 2;
  now.containers[2].first_tick = 2;
  now.containers[2].cpu.runqueue_wait.sum_ns = 900 * kSecond;
  const auto delta = difference(before, now);
  REQUIRE(delta->containers.size() == 2);
  CHECK(delta->containers[0].name == "/waiting");
  CHECK(delta->containers[1].name == "/busy");
  CHECK(delta->rest.cpus_used.value() ==
        Approx(0));  // the parts were ahead of the whole: not below 0
}

TEST_CASE("the screen says what the kernel said, within the terminal's width") {
  shm::Tick before = tick(1), now = tick(2);
  before.containers =
      now.containers = {container(7, "/system.slice/very-long-name-of-a-service.service")};
  now.node.cpu_time.usage_ns = kSecond;
  now.node.cpu.runqueue_wait.sum_ns = 3 * kSecond;
  now.node.cpu.runqueue_wait.bucket[24] = 10;
  for (const unsigned columns : {60U, 80U, 120U, 200U}) {
    const std::string text = show(live(before, now), columns);
    std::istringstream lines(text);
    std::string line;
    while (std::getline(lines, line)) {
      const auto characters =
          std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
      CHECK(characters <= static_cast<long>(columns));
    }
  }
  const std::string text = show(live(before, now));
  CHECK(text.find("node-1") != std::string::npos);
  CHECK(text.find("agent live") != std::string::npos);
  CHECK(text.find("1.50 waiting per CPU") != std::string::npos);
  CHECK(text.find("used  50%") != std::string::npos);
  CHECK(text.find("wait p95 16.4ms") != std::string::npos);
  CHECK(text.find("service") != std::string::npos);
  CHECK(text.find('\033') == std::string::npos);
}

TEST_CASE("rows are bounded, and what is not shown is counted") {
  shm::Tick before = tick(1), now = tick(2);
  for (std::uint64_t i = 0; i < 50; ++i) before.containers.push_back(container(i, "/c"));
  now.containers = before.containers;
  now.node.containers_cut = 3;
  const std::string text = show(live(before, now), 120, 24);
  CHECK(std::count(text.begin(), text.end(), '\n') <= 23);
  CHECK(text.find("more, and 3 without an own series") != std::string::npos);
}

TEST_CASE("what no row has is shown as the rest of the node") {
  shm::Tick before = tick(1), now = tick(2);
  before.containers = now.containers = {container(7, "/a")};
  now.node.cpu_time.usage_ns = 2 * kSecond;
  now.node.cpu.runqueue_wait.sum_ns = 5 * kSecond;
  now.containers[0].cpu_time.usage_ns = kSecond / 2;
  now.containers[0].cpu.runqueue_wait.sum_ns = kSecond;
  const auto delta = difference(before, now);
  CHECK(delta->rest.cpus_used.value() == Approx(1.5));
  CHECK(delta->rest.waiting.value() == Approx(4));
  CHECK(show(live(before, now)).find("(everything else)") != std::string::npos);
}

TEST_CASE("a missing, dead or hung agent is said plainly") {
  top::State none;
  none.detail = "no segment at /run/x: is optipod-agent running?";
  CHECK(show(none).find("no data: no segment at /run/x") != std::string::npos);
  const shm::Tick before = tick(1), now = tick(2);
  top::State state = live(before, now);
  state.writer = shm::WriterState::kHung;
  CHECK(show(state).find("HUNG") != std::string::npos);
  state.writer = shm::WriterState::kGone;
  CHECK(show(state).find("GONE") != std::string::npos);
}

TEST_CASE("control characters of a cgroup's name do not reach the terminal") {
  shm::Tick before = tick(1), now = tick(2);
  before.containers = now.containers = {container(7, "/evil\033[2Jname\n")};
  const std::string text = show(live(before, now));
  CHECK(text.find('\033') == std::string::npos);
  CHECK(text.find("/evil?[2Jname?") != std::string::npos);
}

TEST_CASE("numbers are short and carry their unit") {
  CHECK(top::short_count(0) == "0");
  CHECK(top::short_count(999) == "999");
  CHECK(top::short_count(12345) == "12.3k");
  CHECK(top::short_bytes(1536) == "1.5KB");
  CHECK(top::short_seconds(0.0000123) == "12µs");
  CHECK(top::short_seconds(0.0034) == "3.4ms");
  CHECK(top::short_seconds(1.25) == "1.2s");
}

}  // namespace
