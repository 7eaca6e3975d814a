// SPDX-License-Identifier: Apache-2.0
//
// Time in softirqs beside the runs that /proc/softirqs counts, and whom it was taken from.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <numeric>
#include <sstream>

#include "agent/profiler/kernel/open.hpp"
#include "agent/profiler/kernel/probe.hpp"
#include "tests/agent/kernel/disk_file.hpp"
#include "tests/agent/kernel/irq_trace.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

constexpr Slot kA = kFirstSlot;
constexpr Slot kB = kFirstSlot + 1;
constexpr std::size_t kNetRx = 3;

constexpr std::uint64_t kNeeds = shm::kValidSoftirq | shm::kValidHardirq;

/// A datagram socket connected to itself; ends the process when there is none.
int socket_to_itself() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in self{};
  self.sin_family = AF_INET;
  self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof self;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&self), length) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&self), &length) != 0 ||
      ::connect(fd, reinterpret_cast<sockaddr*>(&self), length) != 0)
    ::_exit(1);
  return fd;
}

/// One datagram: the kernel receives it in a softirq right there.
void send_and_receive(int fd) {
  char bytes[1024] = {};
  if (::send(fd, bytes, sizeof bytes, 0) > 0 && ::recv(fd, bytes, sizeof bytes, 0) < 0) ::_exit(2);
}

void send_to_itself() {
  for (const int fd = socket_to_itself();;) send_and_receive(fd);
}

/// How often softirqs of that name have run, on all CPUs.
std::uint64_t softirqs_run(const std::string& name) {
  std::istringstream lines(read_file("/proc/softirqs"));
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first != name + ":") continue;
    std::uint64_t sum = 0, one = 0;
    while (words >> one) sum += one;
    return sum;
  }
  FAIL("no " << name << " in /proc/softirqs");
  return 0;
}

std::uint64_t total(const InterruptValues& values) {
  return std::accumulate(std::begin(values.softirq_ns), std::end(values.softirq_ns),
                         std::uint64_t{0});
}

/// ns in interrupts of one kind, and how many the trace has.
struct BesideTrace {
  std::uint64_t ours = 0, theirs = 0;
  std::size_t count = 0;
  /// Theirs are whole µs, and each of the two runs partly inside of what the other measures.
  [[nodiscard]] bool agree() const {
    const double margin = static_cast<double>(count) * 300 + 0.25 * static_cast<double>(theirs);
    return count > 0 &&
           static_cast<double>(ours) == Approx(static_cast<double>(theirs)).margin(margin);
  }
};

/// Some hundred of each kind: each read is an interrupt of the disk, each datagram a softirq.
void measure_beside_trace(const Kernel& kernel, const DiskFile& file, BesideTrace& hardirqs,
                          BesideTrace& softirqs) {
  const IrqTrace trace;
  const std::uint64_t from = now_ns();
  const InterruptValues then = kernel.interrupts();
  CHECK(Worker("", test_cpu(), [&file] {
          const int fd = socket_to_itself();
          for (int i = 0; i < 8; ++i) direct_io(file.path(), true, false);
          for (int i = 0; i < 1000; ++i) send_and_receive(fd);
        }).join() == 0);
  const InterruptValues now = kernel.interrupts();
  const IrqTrace::Times theirs = trace.between(from, now_ns());
  hardirqs = {now.hardirq_ns - then.hardirq_ns, theirs.hardirq_ns, theirs.hardirqs};
  softirqs = {now.softirq_ns[kNetRx] - then.softirq_ns[kNetRx], theirs.softirq_ns[kNetRx],
              theirs.softirqs[kNetRx]};
}

}  // namespace

TEST_CASE("softirq time is that of its vector, and is taken from the task that has the CPU") {
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(kNeeds, raw);
    const Cgroup a = Cgroup::top("sends");
    const Cgroup b = Cgroup::top("sleeps");
    REQUIRE(kernel.assign(a.fd(), a.id(), kA));
    REQUIRE(kernel.assign(b.fd(), b.id(), kB));
    const InterruptValues then = kernel.interrupts();
    const std::uint64_t runs_then = softirqs_run("NET_RX");
    const Worker sleeper(b.path(), test_cpu(), [] { ::pause(); });
    const Worker sender(a.path(), test_cpu(), send_to_itself);
    for (int i = 0; i < 200 && softirqs_run("NET_RX") < runs_then + 20'000; ++i) sleep_for(50ms);
    const std::uint64_t stolen = kernel.slot_values(kA).irq_stolen_ns;
    const InterruptValues now = kernel.interrupts();
    const std::uint64_t runs = softirqs_run("NET_RX") - runs_then;
    REQUIRE(runs >= 20'000);
    const std::uint64_t receiving = now.softirq_ns[kNetRx] - then.softirq_ns[kNetRx];
    INFO(runs << " runs, " << receiving << " ns, " << stolen << " ns stolen");
    // A datagram takes the kernel some hundred ns at least, and no softirq runs for long.
    CHECK(receiving / runs >= 200);
    CHECK(receiving / runs <= 200'000);
    // Nearly all that was received here was received in the sender.
    CHECK(static_cast<double>(stolen) >= 0.5 * static_cast<double>(receiving));
    CHECK(stolen <= total(now) - total(then) + now.hardirq_ns - then.hardirq_ns);
    CHECK(kernel.slot_values(kB).irq_stolen_ns <= stolen / 20);
    kernel.reset_slot(kA);
    CHECK(kernel.slot_values(kA).irq_stolen_ns < stolen);
  }
}

TEST_CASE("time in softirqs and in device interrupts is that of the kernel's own trace") {
  for (const bool raw : {false, true}) {
    INFO("raw_tp: " << raw);
    Kernel kernel = open_kernel(kNeeds, raw);
    const DiskFile file;
    BesideTrace hardirqs, softirqs;
    // Again, because a virtual CPU may stand still between the two; a wrong value stays wrong.
    for (int tries = 0; tries < 5 && !(hardirqs.agree() && softirqs.agree()); ++tries)
      measure_beside_trace(kernel, file, hardirqs, softirqs);
    for (const BesideTrace& one : {hardirqs, softirqs}) {
      INFO(one.ours << " ns, the trace says " << one.theirs << " ns in " << one.count);
      CHECK(one.count >= 300);
      CHECK(one.agree());
    }
  }
}

TEST_CASE("both kinds of programs measure the same softirqs") {
  Kernel typed = open_kernel(kNeeds);
  Kernel raw = open_kernel(kNeeds, true);
  const Cgroup a = Cgroup::top("twice");
  const InterruptValues typed_then = typed.interrupts(), raw_then = raw.interrupts();
  const std::uint64_t runs_then = softirqs_run("NET_RX");
  const Worker sender(a.path(), test_cpu(), send_to_itself);
  for (int i = 0; i < 200 && softirqs_run("NET_RX") < runs_then + 20'000; ++i) sleep_for(50ms);
  const auto by_typed = static_cast<double>(total(typed.interrupts()) - total(typed_then));
  const auto by_raw = static_cast<double>(total(raw.interrupts()) - total(raw_then));
  REQUIRE(by_typed > 1e6);
  // The one's programs run inside what the other measures.
  CHECK(by_typed / by_raw == Approx(1).margin(0.5));
}

TEST_CASE("where softirqs can be preempted their time is not told") {
  kernel::Probes probes = kernel::probe(options_for());
  probes.softirq_preempted = true;
  auto kernel = kernel::open(options_for(), probes);
  REQUIRE(kernel);
  CHECK((kernel->valid() & shm::kValidSoftirq) == 0);
  CHECK((kernel->valid() & shm::kValidIrqStolen) == 0);
  CHECK((kernel->valid() & shm::kValidHardirq) != 0);
}
