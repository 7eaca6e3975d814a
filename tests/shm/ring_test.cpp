// SPDX-License-Identifier: Apache-2.0
// The ring alone, in heap memory: what one thread can show. Two threads: ring_stress_test.cpp; all
// executions: tests/model.
#include "shm/ring.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "shm/fd.hpp"
#include "tests/shm/scratch.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::shm;
using namespace optipod::shm::test;

namespace {

template <std::size_t kWords>
struct Record {
  std::uint64_t words[kWords];
};

template <class R>
struct HeapRing {
  explicit HeapRing(std::uint64_t capacity)
      : memory(ring_bytes(sizeof(R), capacity) / 8, 0),
        writer(memory.data(), capacity, slot_bytes(sizeof(R)) / 8),
        reader(memory.data(), capacity, slot_bytes(sizeof(R)) / 8, sizeof(R) / 8) {}
  void publish(std::uint64_t seed) {
    R r;
    fill(r, seed);
    writer.publish(r);
  }
  std::uint64_t& seq(std::uint64_t index) {
    return memory[kControlWords + (index % reader.capacity()) * slot_bytes(sizeof(R)) / 8];
  }
  std::vector<std::uint64_t> memory;
  RingWriter writer;
  RingReader reader;
};

template <std::size_t kWords>
void round_trip() {
  using R = Record<kWords>;
  HeapRing<R> ring(4);
  const std::uint64_t guard = ring.memory.size();
  for (std::uint64_t i = 0; i < 11; ++i) {
    ring.publish(i);
    R out;
    REQUIRE(ring.reader.read(i, out) == ReadStatus::kOk);
    REQUIRE(filled_with(out, i));
  }
  REQUIRE(ring.memory.size() == guard);
}

}  // namespace

TEST_CASE("records of sizes around powers of two come back whole") {
  round_trip<1>();
  round_trip<2>();
  round_trip<3>();
  round_trip<6>();
  round_trip<7>();
  round_trip<8>();
  round_trip<9>();
  round_trip<15>();
  round_trip<16>();
  round_trip<17>();
  round_trip<23>();
  round_trip<127>();
  round_trip<128>();
  round_trip<129>();
}

TEST_CASE("the ring is the same over every kind of memory, also mapped read-only elsewhere") {
  using R = Record<9>;
  constexpr std::uint64_t kCapacity = 8;
  constexpr std::size_t kBytes = ring_bytes(sizeof(R), kCapacity);
  constexpr std::size_t kSlotWords = slot_bytes(sizeof(R)) / 8;
  const ScratchDirectory dir;
  const auto map = [](int fd, int rights) {
    const int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    void* memory = ::mmap(nullptr, kBytes, rights, flags, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    return static_cast<std::uint64_t*>(memory);
  };
  const Fd file(::open((dir.path() + "/ring").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const Fd memfd(::memfd_create("ring", MFD_CLOEXEC));
  for (const Fd* fd : {&file, &memfd}) REQUIRE(::ftruncate(fd->get(), kBytes) == 0);
  std::vector<std::uint64_t> heap(kBytes / 8, 0);
  struct Backing {
    const char* name;
    std::uint64_t* written;
    const std::uint64_t* read;
  };
  std::uint64_t* const anonymous = map(-1, PROT_READ | PROT_WRITE);
  for (const Backing& backing :
       {Backing{"heap", heap.data(), heap.data()}, Backing{"anonymous", anonymous, anonymous},
        Backing{"tmpfs", map(file.get(), PROT_READ | PROT_WRITE), map(file.get(), PROT_READ)},
        Backing{"memfd", map(memfd.get(), PROT_READ | PROT_WRITE), map(memfd.get(), PROT_READ)}}) {
    INFO(backing.name);
    RingWriter writer(backing.written, kCapacity, kSlotWords);
    RingCursor cursor(RingReader(backing.read, kCapacity, kSlotWords, sizeof(R) / 8));
    R record;
    std::uint64_t read = 0;
    for (std::uint64_t i = 0; i < 5 * kCapacity; ++i) {
      fill(record, i);
      REQUIRE(writer.publish(record) == i);
      // Now and then the reader falls behind by more than the ring holds.
      if (i % (2 * kCapacity) < kCapacity) continue;
      for (ReadStatus status; (status = cursor.poll(record)) != ReadStatus::kNotYet;) {
        if (status != ReadStatus::kOk) continue;
        ++read;
        REQUIRE(filled_with(record, cursor.next() - 1));
      }
    }
    CHECK(read > kCapacity);
    CHECK(cursor.lost() > 0);
    while (cursor.poll(record) != ReadStatus::kNotYet) ++read;
    CHECK(cursor.next() == 5 * kCapacity);
  }
}

TEST_CASE("slots are whole cache lines that hold seq and payload") {
  STATIC_REQUIRE(slot_bytes(8) == 64);
  STATIC_REQUIRE(slot_bytes(56) == 64);
  STATIC_REQUIRE(slot_bytes(64) == 128);
  STATIC_REQUIRE(slot_bytes(184) == 192);
  STATIC_REQUIRE(ring_bytes(56, 4) == 128 + 4 * 64);
}

TEST_CASE("an empty ring has nothing to read and nothing lost") {
  HeapRing<Record<2>> ring(2);
  Record<2> out;
  CHECK(ring.reader.head() == 0);
  CHECK(ring.reader.resync_point() == 0);
  CHECK(ring.reader.read(0, out) == ReadStatus::kNotYet);
  CHECK(ring.reader.read(5, out) == ReadStatus::kNotYet);
}

TEST_CASE("the ring wraps: the newest capacity records are readable, older ones are lapped") {
  const std::uint64_t capacity = GENERATE(2, 4, 8, 64);
  HeapRing<Record<3>> ring(capacity);
  for (std::uint64_t written = 1; written <= 3 * capacity + 1; ++written) {
    ring.publish(written - 1);
    REQUIRE(ring.reader.head() == written);
    for (std::uint64_t i = 0; i < written + 2; ++i) {
      Record<3> out;
      const ReadStatus status = ring.reader.read(i, out);
      if (i >= written) {
        REQUIRE(status == ReadStatus::kNotYet);
      } else if (i + capacity < written) {
        REQUIRE(status == ReadStatus::kLapped);
      } else {
        REQUIRE(status == ReadStatus::kOk);
        REQUIRE(filled_with(out, i));
      }
    }
  }
}

TEST_CASE("resync lands an eighth inside the ring, one record at least") {
  const std::uint64_t capacity = GENERATE(2, 4, 8, 16, 256);
  HeapRing<Record<1>> ring(capacity);
  for (std::uint64_t i = 0; i < capacity; ++i) ring.publish(i);
  CHECK(ring.reader.resync_point() == 0);
  ring.publish(capacity);
  CHECK(ring.reader.resync_point() == 1 + std::max<std::uint64_t>(1, capacity / 8));
}

TEST_CASE("a cursor's loss is exact: written = read + lost + still to read") {
  const std::uint64_t capacity = GENERATE(2, 4, 8, 32);
  HeapRing<Record<2>> ring(capacity);
  RingCursor cursor(ring.reader);
  std::uint64_t written = 0, read = 0, last = 0;
  std::uint64_t random = 42;
  for (int round = 0; round < 500; ++round) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    for (std::uint64_t n = (random >> 33) % (3 * capacity); n > 0; --n) ring.publish(written++);
    const std::uint64_t wanted = (random >> 13) % (2 * capacity);
    for (std::uint64_t polls = 0; polls < wanted; ++polls) {
      Record<2> out;
      if (cursor.poll(out) != ReadStatus::kOk) continue;
      REQUIRE(filled_with(out, cursor.next() - 1));
      REQUIRE((read == 0 || cursor.next() - 1 > last));
      last = cursor.next() - 1;
      ++read;
    }
    REQUIRE(cursor.next() == read + cursor.lost());
  }
  Record<2> out;
  while (cursor.poll(out) != ReadStatus::kNotYet) read = cursor.next() - cursor.lost();
  CHECK(cursor.next() == written);
  CHECK(read + cursor.lost() == written);
  CHECK(cursor.lost() > 0);
}

TEST_CASE("a writer that died in the middle of a record hides only the oldest one") {
  const std::uint64_t capacity = GENERATE(2, 4, 8);
  HeapRing<Record<2>> ring(capacity);
  for (std::uint64_t i = 0; i < 2 * capacity; ++i) ring.publish(i);
  const std::uint64_t head = 2 * capacity;
  ring.seq(head) = 2 * head + 1;  // as W1 leaves it
  Record<2> out;
  CHECK(ring.reader.read(head, out) == ReadStatus::kNotYet);
  CHECK(ring.reader.read(head - capacity, out) == ReadStatus::kLapped);
  for (std::uint64_t i = head - capacity + 1; i < head; ++i) {
    CHECK(ring.reader.read(i, out) == ReadStatus::kOk);
  }
  // A cursor that stood on the hidden record gets past it.
  RingCursor cursor(ring.reader, head - capacity);
  CHECK(cursor.poll(out) == ReadStatus::kLapped);
  CHECK(cursor.lost() == 1);
  CHECK((cursor.poll(out) == ReadStatus::kOk || capacity == 1));
}

TEST_CASE("a reader whose records are longer finds the rest zero, a shorter one the beginning") {
  std::vector<std::uint64_t> memory(ring_bytes(24, 2) / 8, 0);
  RingWriter writer(memory.data(), 2, slot_bytes(24) / 8);
  Record<3> in;
  fill(in, 7);
  writer.publish(in);
  const RingReader reader(memory.data(), 2, slot_bytes(24) / 8, 3);
  Record<5> longer;
  fill(longer, 99);
  REQUIRE(reader.read(0, longer) == ReadStatus::kOk);
  CHECK(longer.words[2] == in.words[2]);
  CHECK(longer.words[3] == 0);
  CHECK(longer.words[4] == 0);
  Record<2> shorter;
  REQUIRE(reader.read(0, shorter) == ReadStatus::kOk);
  CHECK(shorter.words[1] == in.words[1]);
}
