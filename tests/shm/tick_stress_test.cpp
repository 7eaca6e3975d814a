// SPDX-License-Identifier: Apache-2.0
//
// Whole ticks, several rings each, under readers that are overtaken: threads (which is what
// ThreadSanitizer sees), a reader that is stopped while the ring goes round, an owner that writes
// nonsense. As in ring_stress_test, a run counts only if writer and readers met.
#include <fcntl.h>
#include <sys/mman.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "shm/fd.hpp"
#include "shm/layout.hpp"
#include "shm/ring.hpp"
#include "shm/tick.hpp"
#include "tests/shm/process.hpp"
#include "tests/shm/scratch.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::shm;
using namespace optipod::shm::test;

namespace {

// As many as there is room for: four ticks lap the containers' ring.
constexpr std::size_t kContainers = 8;
constexpr std::uint64_t kEnoughReads = 2000;
constexpr std::uint64_t kTooManyTicks = 50'000'000;

struct Seen {
  std::uint64_t wrong = 0, backwards = 0, gave_up = 0;
  TickReader::Counters counters;
  std::atomic<bool> done = false;
};

void read_on(const std::string& path, const std::atomic<bool>& stop, Seen& seen) {
  TickReader reader({.path = path});
  Tick tick;
  std::uint64_t last = 0;
  while (!stop) {
    if (!reader.read(tick)) {
      ++seen.gave_up;
      continue;
    }
    if (!is_made_tick(tick, kContainers)) ++seen.wrong;
    if (tick.node.tick < last) ++seen.backwards;
    last = tick.node.tick;
    seen.counters = reader.counters();
    if (seen.counters.ticks_read >= kEnoughReads && seen.counters.torn > 0) seen.done = true;
  }
}

}  // namespace

TEST_CASE("threads: ticks are whole and in order, also those of readers that were overtaken") {
  const ScratchDirectory dir;
  auto writer = TickWriter::create(options_for(dir.segment()));
  REQUIRE(writer);
  Tick tick;
  make_tick(tick, 0, kContainers);
  writer->publish(tick);
  std::atomic<bool> stop = false;
  Seen seen[2];
  std::vector<std::thread> readers;
  readers.reserve(2);
  for (Seen& one : seen) readers.emplace_back([&] { read_on(dir.segment(), stop, one); });
  std::uint64_t n = 1;
  for (; n < kTooManyTicks && !(seen[0].done && seen[1].done); ++n) {
    make_tick(tick, n, kContainers);
    writer->publish(tick);
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  for (const Seen& one : seen) {
    INFO("ticks " << n << ", read " << one.counters.ticks_read << ", torn " << one.counters.torn
                  << ", lost " << one.counters.ticks_lost << ", gave up " << one.gave_up);
    CHECK(one.done);  // it read enough, and was overtaken in the middle of a tick
    CHECK(one.wrong == 0);
    CHECK(one.backwards == 0);
    CHECK(one.counters.corrupt == 0);
  }
}

TEST_CASE("a reader that is stopped while the ring goes round counts what it lost and goes on") {
  const ScratchDirectory dir;
  auto writer = TickWriter::create(options_for(dir.segment()));
  REQUIRE(writer);
  Tick tick;
  const auto publish = [&](std::uint64_t times) {
    for (std::uint64_t i = 0; i < times; ++i) {
      make_tick(tick, writer->ticks(), kContainers);
      writer->publish(tick);
    }
  };
  publish(1);
  struct Board {
    std::atomic<std::uint64_t> reads{0}, newest{0}, lost{0}, wrong{0};
  };
  const Shared<Board> board;
  const Child reader([&] {
    TickReader r({.path = dir.segment()});
    Tick out;
    for (;;) {
      if (!r.read(out)) continue;
      if (!is_made_tick(out, kContainers)) ++board->wrong;
      board->lost = r.counters().ticks_lost;
      board->newest = out.node.tick;
      ++board->reads;
    }
    return true;
  });
  const auto reads_the_newest = [&] {
    while (board->reads == 0 || board->newest + 1 < writer->ticks()) std::this_thread::yield();
  };
  constexpr std::uint64_t kRing = 64;
  std::uint64_t lost = 0;
  for (int round = 0; round < 50; ++round) {
    reads_the_newest();
    // Anywhere, mostly in the middle of a copy.
    reader.send(SIGSTOP);
    int status = 0;
    REQUIRE(::waitpid(reader.pid(), &status, WUNTRACED) == reader.pid());
    REQUIRE(WIFSTOPPED(status));
    publish(3 * kRing);
    reader.send(SIGCONT);
    reads_the_newest();
    lost += 2 * kRing;
    REQUIRE(board->wrong == 0);
  }
  CHECK(board->lost == lost);  // to the tick
}

TEST_CASE("an owner that writes nonsense into a segment that is read delays and crashes nobody") {
  const ScratchDirectory dir;
  auto writer = TickWriter::create(options_for(dir.segment()));
  REQUIRE(writer);
  Tick tick;
  make_tick(tick, 1, kContainers);
  writer->publish(tick);
  const Fd fd(::open(dir.segment().c_str(), O_RDWR | O_CLOEXEC));
  HeaderBlock block;
  REQUIRE(::pread(fd.get(), &block, sizeof block, 0) == sizeof block);
  const std::size_t bytes = block.header.total_bytes;
  auto* const words = static_cast<std::uint64_t*>(
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  REQUIRE(words != MAP_FAILED);
  std::atomic<bool> stop = false;
  std::thread vandal([&] {
    std::mt19937_64 random(7);
    const std::size_t first = kFirstSectionOffset / 8;
    while (!stop) {
      // Small numbers and neighbours of what is right lead further than noise.
      const std::uint64_t value = random() % 4 == 0 ? random() : random() % 70;
      MachineAtomics::store<std::memory_order::relaxed>(
          words + first + random() % (bytes / 8 - first), value);
      if (random() % 8 != 0) continue;
      const auto& section = block.sections[random() % block.header.section_count];
      MachineAtomics::store<std::memory_order::relaxed>(words + section.offset / 8, value);
    }
  });
  TickReader reader({.path = dir.segment()});
  Tick out;
  std::uint64_t read = 0;
  // Reads count from the first that met nonsense: where CPUs are scarce the vandal comes late.
  std::uint64_t met = 0;
  for (std::uint64_t i = 0; i < kTooManyTicks && met < 5000; ++i) {
    if (reader.read(out)) ++read;
    if (reader.counters().corrupt > 0) ++met;
    REQUIRE(reader.attach_state() == AttachState::kAttached);
    REQUIRE(out.containers.size() <= kContainers);
    REQUIRE(out.agent.program_count <= AgentRecord::kMaxPrograms);
    for (const auto& c : out.containers) REQUIRE(::strnlen(c.pod, sizeof c.pod) < sizeof c.pod);
    if (i % 100 == 0) writer->publish(tick);
  }
  stop = true;
  vandal.join();
  ::munmap(words, bytes);
  INFO("read " << read << ", corrupt " << reader.counters().corrupt);
  CHECK(reader.counters().corrupt > 0);
}
