// SPDX-License-Identifier: Apache-2.0
//
// One writer flat out against one to four readers, as threads (which is what ThreadSanitizer sees)
// and as processes. Every word of a record is a function of its index. A run counts only if it
// proves that writer and readers met: every reader must have been overtaken or have seen a record
// being written.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "shm/ring.hpp"
#include "tests/shm/process.hpp"
#include "tests/shm/scratch.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::shm;
using namespace optipod::shm::test;

namespace {

constexpr std::uint64_t kCapacity = 64;
constexpr std::uint64_t kEnoughRecords = 20'000;
constexpr std::uint64_t kTooManyRecords = 400'000'000;
constexpr int kMaxReaders = 4;

struct Record {
  std::uint64_t words[23];
};

struct ReaderResult {
  std::uint64_t read, lost, wrong, met, next;
  std::atomic<bool> done;
};

struct Arena {
  alignas(128) std::uint64_t ring[ring_bytes(sizeof(Record), kCapacity) / 8];
  std::atomic<int> ready;
  std::atomic<bool> go, stop_writer, writer_ended, stop_readers;
  std::uint64_t written;
  ReaderResult results[kMaxReaders];

  RingWriter writer() { return {ring, kCapacity, slot_bytes(sizeof(Record)) / 8}; }
  RingReader reader() {
    return {ring, kCapacity, slot_bytes(sizeof(Record)) / 8, sizeof(Record) / 8};
  }
};

void start_together(Arena& arena) {
  ++arena.ready;
  while (!arena.go) std::this_thread::yield();
}

bool run_writer(Arena& arena) {
  RingWriter writer = arena.writer();
  start_together(arena);
  Record record;
  std::uint64_t i = 0;
  for (; i < kTooManyRecords && !arena.stop_writer.load(std::memory_order_relaxed); ++i) {
    fill(record, i);
    writer.publish(record);
  }
  arena.written = i;
  arena.writer_ended = true;
  return i < kTooManyRecords;
}

bool run_reader(Arena& arena, ReaderResult& result) {
  RingCursor cursor(arena.reader());
  start_together(arena);
  Record record;
  const auto poll = [&] {
    const ReadStatus status = cursor.poll(record);
    if (status == ReadStatus::kOk) {
      ++result.read;
      if (!filled_with(record, cursor.next() - 1)) ++result.wrong;
    } else if (status != ReadStatus::kNotYet) {
      ++result.met;
    }
    return status;
  };
  while (!arena.stop_readers) {
    poll();
    if (result.read >= kEnoughRecords && result.met > 0) result.done = true;
  }
  while (poll() != ReadStatus::kNotYet) {  // the writer ended: what is left is at rest
  }
  result.lost = cursor.lost();
  result.next = cursor.next();
  return result.wrong == 0;
}

void conduct(Arena& arena, int readers) {
  while (arena.ready < readers + 1) std::this_thread::yield();
  arena.go = true;
  const auto all_done = [&] {
    for (int i = 0; i < readers; ++i) {
      if (!arena.results[i].done) return false;
    }
    return true;
  };
  while (!all_done() && !arena.writer_ended) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  arena.stop_writer = true;
  while (!arena.writer_ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  arena.stop_readers = true;
}

void judge(const Arena& arena, int readers) {
  for (int i = 0; i < readers; ++i) {
    const ReaderResult& r = arena.results[i];
    INFO("reader " << i << " of " << readers << ": written " << arena.written << ", read " << r.read
                   << ", lost " << r.lost << ", met " << r.met);
    CHECK(r.done);  // read enough, and was overtaken: the two really ran at the same time
    CHECK(r.wrong == 0);
    CHECK(r.next == arena.written);
    CHECK(r.read + r.lost == arena.written);
  }
}

}  // namespace

TEST_CASE("threads: no torn record, and loss is exact") {
  for (int readers = 1; readers <= kMaxReaders; ++readers) {
    const auto arena = std::make_unique<Arena>();
    std::vector<std::thread> threads;
    threads.emplace_back([&] { run_writer(*arena); });
    for (int i = 0; i < readers; ++i) {
      threads.emplace_back([&, i] { run_reader(*arena, arena->results[i]); });
    }
    conduct(*arena, readers);
    for (auto& t : threads) t.join();
    judge(*arena, readers);
  }
}

TEST_CASE("processes: no torn record, and loss is exact") {
  for (int readers = 1; readers <= kMaxReaders; ++readers) {
    const Shared<Arena> arena;
    std::vector<Child> children;
    children.emplace_back([&] { return run_writer(*arena); });
    for (int i = 0; i < readers; ++i) {
      children.emplace_back([&, i] { return run_reader(*arena, arena->results[i]); });
    }
    conduct(*arena, readers);
    for (auto& child : children) CHECK(child.wait());
    judge(*arena, readers);
  }
}
