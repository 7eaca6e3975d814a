// SPDX-License-Identifier: Apache-2.0
//
// Interrupts, reclaim and requests whose beginning or end was missed. The programs are loaded but
// not attached: the test makes the events, and the times are those of its own clock.
#include <block.skel.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <irq.skel.h>
#include <memory.skel.h>
#include <sched.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

#include "agent/profiler/kernel/object.hpp"
#include "bpf/shared.h"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

namespace {

/// When an event was made: it happened between the two, in ns of the monotonic clock.
struct Event {
  std::uint64_t before, after;
};

Event make(const bpf_program* program, std::array<std::uint64_t, 3> arguments = {}) {
  Event event{now_ns(), 0};
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.ctx_in = arguments.data();
  options.ctx_size_in = sizeof arguments;
  REQUIRE(bpf_prog_test_run_opts(bpf_program__fd(program), &options) == 0);
  event.after = now_ns();
  return event;
}

std::uint64_t least(const Event& from, const Event& to) {
  return to.before - from.after;
}
std::uint64_t most(const Event& from, const Event& to) {
  return to.after - from.before;
}

void pass() {
  std::this_thread::sleep_for(2ms);
}

/// Keeps this thread on one CPU, whose counters the programs then write.
class Pinned {
 public:
  Pinned() {
    ::sched_getaffinity(0, sizeof was_, &was_);
    pin(0, test_cpu());
  }
  ~Pinned() { ::sched_setaffinity(0, sizeof was_, &was_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  cpu_set_t was_{};
};

/// Id of the cgroup this process is in.
std::uint64_t own_cgroup() {
  const std::string text = read_file("/proc/self/cgroup");
  const std::size_t at = text.find("0::");
  REQUIRE(at != std::string::npos);
  const std::string path = text.substr(at + 3, text.find('\n', at) - at - 3);
  struct stat info {};
  REQUIRE(::stat((cgroup2_mount() + path).c_str(), &info) == 0);
  return info.st_ino;
}

/// The interrupt programs, with a slot for what this process loses.
class Interrupts {
 public:
  Interrupts() : object_(irq_bpf__open()) {
    REQUIRE(object_);
    const auto cpus = static_cast<std::uint32_t>(libbpf_num_possible_cpus());
    object_->rodata->cpu_count = cpus;
    object_->rodata->slot_count = kSlots;
    bpf_map__set_max_entries(object_->maps.irq_cpus, cpus);
    bpf_map__set_max_entries(object_->maps.irq_stolen, cpus * kSlots);
    for (bpf_program* typed : {object_->progs.softirq_entry_btf, object_->progs.softirq_exit_btf,
                               object_->progs.hardirq_entry_btf, object_->progs.hardirq_exit_btf})
      bpf_program__set_autoload(typed, false);
    REQUIRE(irq_bpf__load(object_.get()) == 0);
    const bpf::SlotEntry entry{own_cgroup(), kOwn};
    const std::uint32_t at = bpf::slot_hash(entry.cgroup_id, object_->rodata->table_bits);
    REQUIRE(bpf_map_update_elem(bpf_map__fd(object_->maps.slot_table), &at, &entry, BPF_ANY) == 0);
  }
  [[nodiscard]] Event softirq_begins(std::uint64_t vector) const {
    return make(object_->progs.softirq_entry_raw, {vector});
  }
  [[nodiscard]] Event softirq_ends(std::uint64_t vector) const {
    return make(object_->progs.softirq_exit_raw, {vector});
  }
  [[nodiscard]] Event hardirq_begins() const { return make(object_->progs.hardirq_entry_raw); }
  [[nodiscard]] Event hardirq_ends() const { return make(object_->progs.hardirq_exit_raw); }

  [[nodiscard]] bpf::IrqCpu counted() const {
    bpf::IrqCpu value{};
    const auto cpu = static_cast<std::uint32_t>(test_cpu());
    REQUIRE(bpf_map_lookup_elem(bpf_map__fd(object_->maps.irq_cpus), &cpu, &value) == 0);
    return value;
  }
  [[nodiscard]] bpf::IrqStolen stolen() const {
    bpf::IrqStolen value{};
    const std::uint32_t at = static_cast<std::uint32_t>(test_cpu()) * kSlots + kOwn;
    REQUIRE(bpf_map_lookup_elem(bpf_map__fd(object_->maps.irq_stolen), &at, &value) == 0);
    return value;
  }

 private:
  static constexpr std::uint32_t kSlots = 3, kOwn = 2;
  Pinned pinned_;
  kernel::Object<irq_bpf, irq_bpf__destroy> object_;
};

std::uint64_t all_softirqs(const bpf::IrqCpu& counted) {
  return std::accumulate(std::begin(counted.softirq_ns), std::end(counted.softirq_ns),
                         std::uint64_t{0});
}

constexpr std::uint64_t kHere = 0x1000, kThere = 0x2000, kBytes = 4096;
constexpr std::size_t kTimer = 1, kNetRx = 3;

/// The reclaim programs; whatever runs is charged to one slot.
class Reclaims {
 public:
  explicit Reclaims(std::uint32_t room = bpf::kMaxReclaims) : object_(memory_bpf__open()) {
    REQUIRE(object_);
    bpf_map__set_max_entries(object_->maps.reclaims, room);
    bpf_program__set_autoload(object_->progs.oom_victim, false);
    REQUIRE(memory_bpf__load(object_.get()) == 0);
  }
  [[nodiscard]] Event begins(shm::ReclaimKind kind) const {
    return make(kind == shm::kDirect ? object_->progs.direct_begin : object_->progs.memcg_begin);
  }
  [[nodiscard]] Event ends(shm::ReclaimKind kind) const {
    return make(kind == shm::kDirect ? object_->progs.direct_end : object_->progs.memcg_end);
  }
  [[nodiscard]] bpf::HistogramWords counted(shm::ReclaimKind kind) const {
    bpf::MemorySlot value{};
    const std::uint32_t slot = kNodeOther;
    REQUIRE(bpf_map_lookup_elem(bpf_map__fd(object_->maps.memory_slots), &slot, &value) == 0);
    return value.reclaim_stall[kind];
  }
  [[nodiscard]] std::uint64_t dropped() const { return object_->bss->stalls_dropped; }

 private:
  kernel::Object<memory_bpf, memory_bpf__destroy> object_;
};

std::uint64_t samples(const bpf::HistogramWords& histogram) {
  return std::accumulate(std::begin(histogram.bucket), std::end(histogram.bucket),
                         std::uint64_t{0});
}

/// The block programs of Linux 6.5 and newer, or of what is older; every request is a read of no
/// disk.
class Requests {
 public:
  explicit Requests(bool started, std::uint32_t room = bpf::kMaxInflight)
      : object_(block_bpf__open()) {
    REQUIRE(object_);
    bpf_map__set_max_entries(object_->maps.inflight, room);
    object_->rodata->end_at_done = started;
    bpf_map__set_max_entries(object_->maps.block_slots, 2 + bpf::kMaxDevices);
    REQUIRE(block_bpf__load(object_.get()) == 0);
  }
  // Nothing can be read at an address of no kernel's: all members are 0.
  [[nodiscard]] Event starts(std::uint64_t at) const { return make(object_->progs.io_start, {at}); }
  [[nodiscard]] Event inserts(std::uint64_t at) const {
    return make(object_->progs.rq_insert, {at});
  }
  [[nodiscard]] Event issues(std::uint64_t at) const { return make(object_->progs.rq_issue, {at}); }
  [[nodiscard]] Event requeues(std::uint64_t at) const {
    return make(object_->progs.rq_requeue, {at});
  }
  [[nodiscard]] Event completes(std::uint64_t at, std::uint64_t bytes) const {
    return make(object_->progs.rq_complete, {at, 0, bytes});
  }
  [[nodiscard]] Event ends(std::uint64_t at) const { return make(object_->progs.io_done, {at}); }
  [[nodiscard]] bpf::BlockSlot counted() const {
    bpf::BlockSlot value{};
    const std::uint32_t slot = kNodeOther;
    REQUIRE(bpf_map_lookup_elem(bpf_map__fd(object_->maps.block_slots), &slot, &value) == 0);
    return value;
  }
  [[nodiscard]] std::uint64_t dropped() const { return object_->bss->requests_dropped; }

 private:
  kernel::Object<block_bpf, block_bpf__destroy> object_;
};

}  // namespace

TEST_CASE("hardirqs in a softirq are taken out of its time") {
  const Interrupts irq;
  const Event begin = irq.softirq_begins(kNetRx);
  pass();
  std::uint64_t hard_least = 0, hard_most = 0;
  for (int i = 0; i < 2; ++i) {
    const Event hard_begin = irq.hardirq_begins();
    pass();
    const Event hard_end = irq.hardirq_ends();
    hard_least += least(hard_begin, hard_end);
    hard_most += most(hard_begin, hard_end);
    pass();
  }
  const Event end = irq.softirq_ends(kNetRx);
  const bpf::IrqCpu counted = irq.counted();
  CHECK(counted.hardirq_ns >= hard_least);
  CHECK(counted.hardirq_ns <= hard_most);
  CHECK(counted.softirq_ns[kNetRx] >= least(begin, end) - hard_most);
  CHECK(counted.softirq_ns[kNetRx] <= most(begin, end) - hard_least);
  CHECK(all_softirqs(counted) == counted.softirq_ns[kNetRx]);
  CHECK(irq.stolen().softirq_ns == counted.softirq_ns[kNetRx]);
  CHECK(irq.stolen().hardirq_ns == counted.hardirq_ns);
  // The next softirq begins without them.
  const Event next_begin = irq.softirq_begins(kTimer);
  pass();
  const Event next_end = irq.softirq_ends(kTimer);
  CHECK(irq.counted().softirq_ns[kTimer] >= least(next_begin, next_end));
  CHECK(irq.counted().softirq_ns[kTimer] <= most(next_begin, next_end));
  // And a hardirq outside is none of a softirq's.
  const Event hard_begin = irq.hardirq_begins();
  pass();
  const Event hard_end = irq.hardirq_ends();
  CHECK(irq.counted().hardirq_ns - counted.hardirq_ns >= least(hard_begin, hard_end));
  CHECK(all_softirqs(irq.counted()) ==
        counted.softirq_ns[kNetRx] + irq.counted().softirq_ns[kTimer]);
}

TEST_CASE("an interrupt whose beginning or end was missed counts no time, and none is negative") {
  const Interrupts irq;
  (void)irq.softirq_ends(kNetRx);
  (void)irq.hardirq_ends();
  // The end of one and the beginning of the other were missed.
  (void)irq.softirq_begins(kNetRx);
  pass();
  (void)irq.softirq_ends(kTimer);
  (void)irq.softirq_ends(kNetRx);
  // A vector that no kernel of ours has.
  (void)irq.softirq_begins(bpf::kSoftirqs);
  pass();
  (void)irq.softirq_ends(bpf::kSoftirqs);
  CHECK(all_softirqs(irq.counted()) == 0);
  CHECK(irq.counted().hardirq_ns == 0);
  CHECK(irq.stolen().softirq_ns + irq.stolen().hardirq_ns == 0);

  // The end missed: the next beginning counts from itself on.
  (void)irq.softirq_begins(kNetRx);
  pass();
  const Event begin = irq.softirq_begins(kTimer);
  pass();
  (void)irq.hardirq_ends();  // whose beginning was missed
  const Event end = irq.softirq_ends(kTimer);
  CHECK(irq.counted().softirq_ns[kTimer] >= least(begin, end));
  CHECK(irq.counted().softirq_ns[kTimer] <= most(begin, end));
  CHECK(all_softirqs(irq.counted()) == irq.counted().softirq_ns[kTimer]);
  CHECK(irq.counted().hardirq_ns == 0);

  // An interrupt seems to have begun before the softirq that it ends in: more would be taken out
  // than there is.
  const bpf::IrqCpu then = irq.counted();
  const Event hard_begin = irq.hardirq_begins();
  pass();
  (void)irq.softirq_begins(kNetRx);
  const Event hard_end = irq.hardirq_ends();
  (void)irq.softirq_ends(kNetRx);
  CHECK(all_softirqs(irq.counted()) == all_softirqs(then));
  CHECK(irq.counted().hardirq_ns >= least(hard_begin, hard_end));
  CHECK(irq.counted().hardirq_ns <= most(hard_begin, hard_end));
}

TEST_CASE("a stall lasts from its own beginning to its end") {
  for (const shm::ReclaimKind kind : {shm::kDirect, shm::kMemcg}) {
    const Reclaims reclaims;
    const Event begin = reclaims.begins(kind);
    pass();
    const Event end = reclaims.ends(kind);
    const bpf::HistogramWords counted = reclaims.counted(kind);
    CHECK(counted.sum_ns >= least(begin, end));
    CHECK(counted.sum_ns <= most(begin, end));
    CHECK(samples(counted) == 1);
    CHECK(counted.bucket[bpf::bucket_of(counted.sum_ns)] == 1);
    CHECK(samples(reclaims.counted(kind == shm::kDirect ? shm::kMemcg : shm::kDirect)) == 0);
  }
}

TEST_CASE("a stall whose beginning was missed is not timed") {
  const Reclaims reclaims;
  const auto nothing = [&reclaims] {
    for (const shm::ReclaimKind kind : {shm::kDirect, shm::kMemcg})
      if (samples(reclaims.counted(kind)) != 0 || reclaims.counted(kind).sum_ns != 0) return false;
    return true;
  };
  (void)reclaims.ends(shm::kMemcg);
  (void)reclaims.ends(shm::kDirect);
  CHECK(nothing());
  // Another task's beginning is not this one's.
  std::thread([&reclaims] { (void)reclaims.begins(shm::kMemcg); }).join();
  (void)reclaims.ends(shm::kMemcg);
  CHECK(nothing());
  // Nor is one of the other kind.
  (void)reclaims.begins(shm::kDirect);
  (void)reclaims.ends(shm::kMemcg);
  CHECK(nothing());
  // An end was missed: what begins anew counts from there, once.
  pass();
  const Event begin = reclaims.begins(shm::kMemcg);
  pass();
  const Event end = reclaims.ends(shm::kMemcg);
  (void)reclaims.ends(shm::kMemcg);
  const bpf::HistogramWords counted = reclaims.counted(shm::kMemcg);
  CHECK(samples(counted) == 1);
  CHECK(counted.sum_ns >= least(begin, end));
  CHECK(counted.sum_ns <= most(begin, end));
  CHECK(samples(reclaims.counted(shm::kDirect)) == 0);
}

TEST_CASE("a request whose end was missed does not stay, nor lend its time to the next one there") {
  const Requests requests(true);
  (void)requests.starts(kHere);
  (void)requests.starts(kThere);
  pass();
  const Event begin = requests.starts(kHere);
  pass();
  (void)requests.completes(kHere, kBytes);
  const Event end = requests.ends(kHere);
  const bpf::BlockSlot counted = requests.counted();
  CHECK(counted.started[shm::kRead] == 3);
  CHECK(counted.finished[shm::kRead] == 2);  // the one there is on its way
  CHECK(counted.bytes[shm::kRead] == kBytes);
  CHECK(samples(counted.latency[shm::kRead]) == 1);
  CHECK(counted.latency[shm::kRead].sum_ns >= least(begin, end));
  CHECK(counted.latency[shm::kRead].sum_ns <= most(begin, end));
}

TEST_CASE("what ends without having been seen to begin counts nothing") {
  const Requests requests(true);
  (void)requests.completes(kHere, kBytes);
  (void)requests.ends(kHere);
  const bpf::BlockSlot counted = requests.counted();
  CHECK(counted.started[shm::kRead] + counted.finished[shm::kRead] == 0);
  CHECK(counted.bytes[shm::kRead] == 0);
  CHECK(samples(counted.latency[shm::kRead]) == 0);
}

TEST_CASE("a request is one from its first event to its end, however often the device has it") {
  const Requests requests(false);
  const Event begin = requests.inserts(kHere);
  (void)requests.issues(kHere);
  pass();
  (void)requests.requeues(kHere);
  (void)requests.inserts(kHere);
  (void)requests.issues(kHere);
  const Event end = requests.completes(kHere, kBytes);
  const bpf::BlockSlot counted = requests.counted();
  CHECK(counted.started[shm::kRead] == 1);
  CHECK(counted.finished[shm::kRead] == 1);
  CHECK(samples(counted.latency[shm::kRead]) == 1);
  CHECK(counted.latency[shm::kRead].sum_ns >= least(begin, end));
  CHECK(counted.latency[shm::kRead].sum_ns <= most(begin, end));
}

TEST_CASE("without the event of its start, too, a request whose end was missed does not stay") {
  for (const bool inserted : {true, false}) {
    const Requests requests(false);
    (void)requests.issues(kHere);
    pass();
    const Event begin = inserted ? requests.inserts(kHere) : requests.issues(kHere);
    pass();
    const Event end = requests.completes(kHere, kBytes);
    const bpf::BlockSlot counted = requests.counted();
    CHECK(counted.started[shm::kRead] == 2);
    CHECK(counted.finished[shm::kRead] == 2);
    CHECK(counted.bytes[shm::kRead] == kBytes);
    CHECK(samples(counted.latency[shm::kRead]) == 1);
    CHECK(counted.latency[shm::kRead].sum_ns >= least(begin, end));
    CHECK(counted.latency[shm::kRead].sum_ns <= most(begin, end));
  }
}

TEST_CASE("a stall for which there is no room is counted as dropped, and the others go on") {
  const Reclaims reclaims(1);
  (void)reclaims.begins(shm::kDirect);
  CHECK(reclaims.dropped() == 0);
  std::thread([&reclaims] {
    (void)reclaims.begins(shm::kDirect);
    (void)reclaims.ends(shm::kDirect);
  }).join();
  CHECK(reclaims.dropped() == 1);
  CHECK(samples(reclaims.counted(shm::kDirect)) == 0);
  (void)reclaims.ends(shm::kDirect);
  CHECK(samples(reclaims.counted(shm::kDirect)) == 1);
}

TEST_CASE("a request for which there is no room is counted as dropped, and the others go on") {
  const Requests requests(true, 1);
  (void)requests.starts(kHere);
  CHECK(requests.dropped() == 0);
  (void)requests.starts(kThere);
  CHECK(requests.dropped() == 1);
  (void)requests.ends(kThere);
  CHECK(samples(requests.counted().latency[shm::kRead]) == 0);
  (void)requests.ends(kHere);
  CHECK(requests.counted().started[shm::kRead] == 1);
  CHECK(samples(requests.counted().latency[shm::kRead]) == 1);
}

TEST_CASE("on older kernels a request is dropped when there is no room when it is issued, either") {
  const Requests requests(false, 1);
  (void)requests.issues(kHere);
  (void)requests.inserts(kThere);
  CHECK(requests.dropped() == 0);
  (void)requests.issues(kThere);
  CHECK(requests.dropped() == 1);
  (void)requests.completes(kHere, kBytes);
  (void)requests.inserts(kThere);
  (void)requests.issues(kThere);
  (void)requests.completes(kThere, kBytes);
  CHECK(requests.dropped() == 1);
  CHECK(requests.counted().started[shm::kRead] == 2);
  CHECK(samples(requests.counted().latency[shm::kRead]) == 2);
}
