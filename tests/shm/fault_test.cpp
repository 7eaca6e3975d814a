// SPDX-License-Identifier: Apache-2.0
//
// Faults between processes, each named for what goes wrong.
#include <fcntl.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>
#include <vector>

#include "shm/fd.hpp"
#include "shm/layout.hpp"
#include "shm/tick.hpp"
#include "tests/shm/process.hpp"
#include "tests/shm/scratch.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::shm;
using namespace optipod::shm::test;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t kContainers = 4;

// Sanitizers make a process's birth and death slow, and have their say within fewer of them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kKills = 100;
#else
constexpr std::uint64_t kKills = 1000;
#endif

/// What parent, writers and readers tell each other.
struct Board {
  std::atomic<std::uint64_t> standing{0};  ///< newest life whose first tick is published
  std::atomic<bool> stop{false};
  struct Reader {
    std::uint64_t reads, gave_up, wrong, late, detached, lives;
    TickReader::Counters counters;
  } readers[2] = {};
};

std::uint64_t seed_of(std::uint64_t life, std::uint64_t n) {
  return life << 32 | n;
}
std::uint64_t life_of(const Tick& tick) {
  return tick.node.sampled_boottime_ns >> 32;
}

/// A writer's life: publishes as fast as it can until it is killed, or `ticks` times.
bool live(const std::string& path, Board& board, std::uint64_t life, std::uint64_t ticks) {
  auto writer = TickWriter::create(options_for(path));
  if (!writer) return false;
  Tick tick;
  for (std::uint64_t n = 0; n < ticks; ++n) {
    make_tick(tick, seed_of(life, n), kContainers);
    writer->publish(tick);
    if (n == 0) board.standing.store(life);
  }
  return true;
}

/// Reads without a pause. Whatever the writers suffer: only whole ticks, and always those of the
/// newest life that stood before the read began.
bool read_on(const std::string& path, Board& board, Board::Reader& result) {
  TickReader reader({.path = path});
  Tick tick;
  std::uint64_t seen = 0;
  while (!board.stop) {
    const std::uint64_t standing = board.standing.load();
    if (standing == 0) continue;
    if (!reader.read(tick)) {
      ++result.gave_up;
      if (reader.attach_state() != AttachState::kAttached) ++result.detached;
      continue;
    }
    ++result.reads;
    if (!is_made_tick(tick, kContainers)) ++result.wrong;
    if (life_of(tick) < standing) ++result.late;
    if (life_of(tick) != seen) ++result.lives;
    seen = life_of(tick);
  }
  result.counters = reader.counters();
  return true;
}

struct Remains {
  std::uint64_t half_written = 0;  ///< slots with an odd mark
  std::uint64_t wrong = 0;         ///< whole slots with a word of another record
  bool one_per_ring = true;
};

/// Judges a dead writer's file slot by slot, as no reader would.
template <class Record, class IsRight>
void examine(const std::vector<char>& file, const HeaderBlock& block, IsRight is_right,
             Remains& remains) {
  const Section& section = *find_section(block, SectionOf<Record>::kKind);
  std::uint64_t odd = 0;
  for (std::uint64_t i = 0; i < section.capacity; ++i) {
    const char* slot =
        file.data() + section.offset + kControlWords * 8 + i * slot_bytes(sizeof(Record));
    std::uint64_t seq = 0;
    std::memcpy(&seq, slot, 8);
    if (seq == 0) continue;
    if (seq % 2 == 1) {
      ++odd;
      continue;
    }
    Record record;
    std::memcpy(&record, slot + 8, sizeof record);
    if (!is_right(record)) ++remains.wrong;
  }
  remains.half_written += odd;
  if (odd > 1) remains.one_per_ring = false;
}

Remains examine_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> file((std::istreambuf_iterator<char>(in)), {});
  HeaderBlock block;
  REQUIRE(file.size() >= sizeof block);
  std::memcpy(&block, file.data(), sizeof block);
  REQUIRE(check_layout(block, file.size()).state == AttachState::kAttached);
  Remains remains;
  examine<ContainerRecord>(
      file, block,
      [](const ContainerRecord& r) {
        return filled_with(r.cpu, r.first_tick + r.cgroup_id) &&
               filled_with(r.block, r.first_tick + r.cgroup_id);
      },
      remains);
  examine<NodeRecord>(
      file, block,
      [](const NodeRecord& r) {
        return filled_with(r.cpu, r.sampled_boottime_ns) && r.cpus == r.sampled_boottime_ns + 1;
      },
      remains);
  return remains;
}

template <class Condition>
bool comes_true(Condition condition, milliseconds limit = milliseconds(20'000)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

}  // namespace

TEST_CASE("writers killed at any instruction: no torn record, readers go on") {
  const ScratchDirectory dir;
  const std::string path = dir.segment();
  const Shared<Board> board;
  std::vector<Child> readers;
  for (auto& result : board->readers) {
    readers.emplace_back([&] { return read_on(path, *board, result); });
  }
  std::mt19937 random(20240607);
  std::uint64_t killed = 0, half_written = 0, before_the_name = 0, clean = 0;
  for (std::uint64_t life = 1; killed < kKills; ++life) {
    const bool ends_well = life % 20 == 0;
    Child writer([&] { return live(path, *board, life, ends_well ? 50 : ~std::uint64_t{0}); });
    if (ends_well) {
      REQUIRE(writer.wait());
      ++clean;
      continue;
    }
    // Every fourth one dies while it may still be building its segment.
    if (life % 4 != 0 && !comes_true([&] { return board->standing == life; })) {
      FAIL("writer " << life << " did not publish");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 1500));
    writer.send(SIGKILL);
    CHECK_FALSE(writer.wait());
    ++killed;
    if (board->standing != life) ++before_the_name;
    if (board->standing == 0) continue;

    const Remains remains = examine_file(path);
    REQUIRE(remains.wrong == 0);
    REQUIRE(remains.one_per_ring);
    half_written += remains.half_written;
    TickReader after({.path = path});
    REQUIRE(after.attach_state() == AttachState::kAttached);
    Tick tick;
    if (board->standing == life) {
      REQUIRE(after.read(tick));
      REQUIRE(is_made_tick(tick, kContainers));
      REQUIRE(after.writer_state() == WriterState::kGone);
    }
  }
  board->stop = true;
  for (auto& reader : readers) CHECK(reader.wait());

  CHECK(killed == kKills);
  CHECK(clean > 0);
  CHECK(half_written > 0);     // or the kills never hit a record, and this test showed nothing
  CHECK(before_the_name > 0);  // nor a segment in the making
  for (const auto& r : board->readers) {
    INFO("reads " << r.reads << ", gave up " << r.gave_up << ", lives seen " << r.lives << ", torn "
                  << r.counters.torn << ", half-written slots left " << half_written);
    CHECK(r.wrong == 0);
    CHECK(r.late == 0);  // a read that begins after a new segment stands reads the new segment
    CHECK(r.detached == 0);
    CHECK(r.counters.corrupt == 0);
    CHECK(r.reads > kKills);
    CHECK(r.lives > kKills / 4);
  }
  // The last one to build a segment swept up what the others left.
  auto writer = TickWriter::create(options_for(path));
  REQUIRE(writer);
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 2);
}

TEST_CASE("a stopped writer is hung, and live again when it goes on; a killed one is gone") {
  const ScratchDirectory dir;
  Child writer([&] {
    auto w = TickWriter::create(options_for(dir.segment()));
    Tick tick;
    make_tick(tick, 1, kContainers);
    while (w) {
      w->publish(tick);
      std::this_thread::sleep_for(milliseconds(5));
    }
    return false;
  });
  TickReader reader({.path = dir.segment()});
  Tick tick;
  REQUIRE(comes_true([&] { return reader.read(tick); }));
  CHECK(comes_true([&] { return reader.writer_state() == WriterState::kLive; }));
  writer.send(SIGSTOP);
  CHECK(comes_true([&] { return reader.writer_state() == WriterState::kHung; }));
  CHECK(reader.read(tick));  // what it said last stays readable
  writer.send(SIGCONT);
  CHECK(comes_true([&] { return reader.writer_state() == WriterState::kLive; }));
  writer.send(SIGKILL);
  writer.wait();
  CHECK(reader.writer_state() == WriterState::kGone);
  CHECK(reader.read(tick));
}

TEST_CASE("a second agent is told the first one's pid, and may start when that is killed") {
  const ScratchDirectory dir;
  Child first([&] {
    auto w = TickWriter::create(options_for(dir.segment()));
    Tick tick;
    make_tick(tick, 1, 1);
    if (w) w->publish(tick);
    for (;;) ::pause();
    return true;
  });
  TickReader reader({.path = dir.segment()});
  Tick tick;
  REQUIRE(comes_true([&] { return reader.read(tick); }));
  const auto second = TickWriter::create(options_for(dir.segment()));
  REQUIRE_FALSE(second);
  CHECK(second.error().find("pid " + std::to_string(first.pid())) != std::string::npos);
  CHECK(reader.read(tick));  // the attempt disturbed nobody
  CHECK(reader.writer_state() == WriterState::kLive);
  first.send(SIGKILL);
  first.wait();
  CHECK(TickWriter::create(options_for(dir.segment())));
}

TEST_CASE("a full tmpfs stops the agent at start with what it needs, never later") {
  const ScratchDirectory dir;
  const std::string small = dir.path() + "/small";
  REQUIRE(::mkdir(small.c_str(), 0750) == 0);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=1m") != 0) {
    FAIL("cannot mount a tmpfs of 1 MiB (" << std::strerror(errno) << "); run as root");
  }
  struct Unmount {
    const std::string& path;
    ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } const unmount{small};
  const auto writer = TickWriter::create(options_for(small + "/current.shm", 512));
  REQUIRE_FALSE(writer);
  INFO(writer.error());
  CHECK(writer.error().find("needs") != std::string::npos);
  CHECK(writer.error().find(small) != std::string::npos);
  CHECK(writer.error().find("free") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(small + "/current.shm"));
  CHECK(std::distance(std::filesystem::directory_iterator(small), {}) == 1);  // agent.lock

  // One that fits goes on when nothing else does any more: it had its memory before it had its
  // name.
  const auto fits = options_for(small + "/current.shm", 2);
  Child agent([&] {
    auto w = TickWriter::create(fits);
    if (!w) return false;
    std::ofstream ballast(small + "/ballast");
    while (ballast << std::string(4096, 'b') << std::flush) {
    }
    Tick tick;
    make_tick(tick, 1, 2);
    for (int i = 0; i < 1000; ++i) w->publish(tick);
    TickReader reader({.path = fits.path});
    Tick out;
    return reader.read(out) && out.node.tick == 999 && is_made_tick(out, 2);
  });
  CHECK(agent.wait());
}

TEST_CASE("an unprivileged reader needs the segment's group, and no more") {
  if (::geteuid() != 0) FAIL("needs root to become another user");
  constexpr gid_t kGroup = 65534;
  constexpr uid_t kNobody = 65534;
  const ScratchDirectory dir;
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  const group* entry = ::getgrgid(kGroup);
  REQUIRE(entry != nullptr);
  WriterOptions options = options_for(dir.path() + "/run/current.shm");
  options.group = entry->gr_name;
  auto writer = TickWriter::create(options);
  REQUIRE(writer);
  Tick in;
  make_tick(in, 7, kContainers);
  writer->publish(in);
  const auto as_user = [&](gid_t gid, AttachState expected) {
    return Child([&, gid, expected] {
             if (::setgroups(0, nullptr) != 0 || ::setgid(gid) != 0 || ::setuid(kNobody) != 0) {
               return false;
             }
             TickReader reader({.path = options.path});
             Tick out;
             const bool read = reader.read(out);
             return reader.attach_state() == expected &&
                    read == (expected == AttachState::kAttached) &&
                    (!read || (is_made_tick(out, kContainers) &&
                               reader.writer_state() == WriterState::kLive));
           })
        .wait();
  };
  CHECK(as_user(kGroup, AttachState::kAttached));
  CHECK(as_user(12345, AttachState::kRefused));
}
