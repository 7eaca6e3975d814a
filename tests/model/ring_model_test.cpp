// SPDX-License-Identifier: Apache-2.0
//
// Every execution of the shipped ring that C++20 allows, for small rings; and each known weakening
// of it, which must be found. The mutants are the test of the checker.
#include <memory>
#include <string>

#include "shm/ring.hpp"
#include "tests/model/checker.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::shm;
using optipod::model::Checker;
using optipod::model::ModelAtomics;

namespace {

constexpr std::size_t kWords = 2;
struct Record {
  std::uint64_t words[kWords];
};
constexpr std::size_t kSlotWords = 1 + kWords;

Record record_of(std::uint64_t index) {
  return {{10 * index + 11, 10 * index + 12}};
}
bool is_record(const Record& r, std::uint64_t index) {
  return r.words[0] == 10 * index + 11 && r.words[1] == 10 * index + 12;
}

/// What went wrong first; empty when the protocol held.
struct Outcome {
  std::uint64_t executions = 0;
  std::string violation;
  void violated(const char* what) {
    if (violation.empty()) violation = what;
  }
};

/// A ring of `capacity` in which `writes` records were published.
template <class Atomics, class Orders>
struct Ring {
  Ring(Checker& checker, std::uint64_t capacity, std::size_t at = 0)
      : writer(checker.base() + at, capacity, kSlotWords),
        reader(checker.base() + at, capacity, kSlotWords, kWords) {}
  BasicRingWriter<Atomics, Orders> writer;
  BasicRingReader<Atomics, Orders> reader;
};

/// A cursor that polls: whole records, in order, and exact arithmetic.
template <class Orders, class Atomics = ModelAtomics>
Outcome stream(std::uint64_t capacity, std::uint64_t writes, int polls) {
  const auto checker = std::make_unique<Checker>();
  ModelAtomics::checker = checker.get();
  Ring<Atomics, Orders> ring(*checker, capacity);
  for (std::uint64_t i = 0; i < writes; ++i) ring.writer.publish(record_of(i));
  Outcome outcome;
  outcome.executions = checker->for_all([&] {
    RingCursor cursor(ring.reader);
    std::uint64_t read = 0;
    for (int poll = 0; poll < polls; ++poll) {
      Record out{};
      if (cursor.poll(out) == ReadStatus::kOk) {
        ++read;
        if (!is_record(out, cursor.next() - 1)) outcome.violated("torn record accepted");
      }
      if (cursor.next() != read + cursor.lost()) outcome.violated("loss is not exact");
      if (cursor.next() > writes) outcome.violated("a record that was never written");
    }
  });
  return outcome;
}

/// The newest record, as TickReader takes it: what head names is complete or already overwritten.
template <class Orders, class Atomics = ModelAtomics>
Outcome latest(std::uint64_t capacity, std::uint64_t writes, int tries) {
  const auto checker = std::make_unique<Checker>();
  ModelAtomics::checker = checker.get();
  Ring<Atomics, Orders> ring(*checker, capacity);
  for (std::uint64_t i = 0; i < writes; ++i) ring.writer.publish(record_of(i));
  Outcome outcome;
  outcome.executions = checker->for_all([&] {
    std::uint64_t newest = 0;
    for (int i = 0; i < tries; ++i) {
      const std::uint64_t head = ring.reader.head();
      if (head < newest) outcome.violated("the newest record went backwards");
      newest = head;
      if (head == 0) continue;
      Record out{};
      switch (ring.reader.read(head - 1, out)) {
        case ReadStatus::kOk:
          if (!is_record(out, head - 1)) outcome.violated("torn record accepted");
          break;
        case ReadStatus::kNotYet:
          outcome.violated("head names a record that is not complete");
          break;
        case ReadStatus::kLapped:
        case ReadStatus::kTorn:
          break;
      }
    }
  });
  return outcome;
}

/// A tick: the record of one ring names a record of another, published before it.
template <class Orders, class Atomics = ModelAtomics>
Outcome tick(std::uint64_t capacity, std::uint64_t writes) {
  constexpr std::size_t kSecond = 40;
  const auto checker = std::make_unique<Checker>();
  ModelAtomics::checker = checker.get();
  Ring<Atomics, Orders> nodes(*checker, 2);
  Ring<Atomics, Orders> containers(*checker, capacity, kSecond);
  for (std::uint64_t i = 0; i < writes; ++i) {
    const std::uint64_t named = containers.writer.publish(record_of(i));
    nodes.writer.publish(Record{{i, named}});
  }
  Outcome outcome;
  outcome.executions = checker->for_all([&] {
    const std::uint64_t head = nodes.reader.head();
    Record node{};
    if (head == 0 || nodes.reader.read(head - 1, node) != ReadStatus::kOk) return;
    if (node.words[0] != head - 1) outcome.violated("torn record accepted");
    if (node.words[1] >= containers.reader.head()) {
      outcome.violated("a tick names a record beyond the head of its ring");
    }
    Record out{};
    const ReadStatus status = containers.reader.read(node.words[1], out);
    if (status == ReadStatus::kNotYet) outcome.violated("a tick names an incomplete record");
    if (status == ReadStatus::kOk && !is_record(out, node.words[1])) {
      outcome.violated("torn record accepted");
    }
  });
  return outcome;
}

template <class Orders, class Atomics = ModelAtomics>
std::string first_violation() {
  for (const Outcome& o : {stream<Orders, Atomics>(1, 3, 3), stream<Orders, Atomics>(2, 4, 3),
                           stream<Orders, Atomics>(2, 5, 2), latest<Orders, Atomics>(1, 3, 2),
                           latest<Orders, Atomics>(2, 4, 2), tick<Orders, Atomics>(1, 3),
                           tick<Orders, Atomics>(2, 3)}) {
    if (!o.violation.empty()) return o.violation;
  }
  return {};
}

const std::string kHolds;  ///< no violation

using enum std::memory_order;

struct NoWriterFence : FencedOrders {
  static constexpr auto kMarkFence = relaxed;
};
struct NoReaderFence : FencedOrders {
  static constexpr auto kCheckFence = relaxed;
};
struct RelaxedComplete : FencedOrders {
  static constexpr auto kComplete = relaxed;
};
struct RelaxedSeqLoad : FencedOrders {
  static constexpr auto kSeqLoad = relaxed;
};
struct ReleaseMarkNoFence : FencedOrders {
  static constexpr auto kMark = release;
  static constexpr auto kMarkFence = relaxed;
};
struct RelaxedHead : FencedOrders {
  static constexpr auto kHeadStore = relaxed;
};
struct RelaxedHeadLoad : FencedOrders {
  static constexpr auto kHeadLoad = relaxed;
};

/// The writer without W1: complete marks only.
struct NoOddMark : ModelAtomics {
  template <std::memory_order kOrder>
  static void store(std::uint64_t* word, std::uint64_t value) {
    const auto at = static_cast<std::size_t>(word - checker->base());
    const bool is_seq = at >= kControlWords && (at - kControlWords) % kSlotWords == 0;
    if (is_seq && value % 2 == 1) return;
    ModelAtomics::store<kOrder>(word, value);
  }
};

struct UnfencedRelaxedStore : UnfencedOrders {
  static constexpr auto kPayloadStore = relaxed;
};
struct UnfencedRelaxedLoad : UnfencedOrders {
  static constexpr auto kPayloadLoad = relaxed;
};
struct UnfencedRelaxedComplete : UnfencedOrders {
  static constexpr auto kComplete = relaxed;
};
struct UnfencedRelaxedSeqLoad : UnfencedOrders {
  static constexpr auto kSeqLoad = relaxed;
};

}  // namespace

TEMPLATE_TEST_CASE("no execution of the ring returns a torn record or miscounts", "", FencedOrders,
                   UnfencedOrders) {
  for (const std::uint64_t capacity : {1u, 2u, 4u}) {
    for (std::uint64_t writes = 1; writes <= capacity + 3; ++writes) {
      for (int polls = 1; polls <= 3; ++polls) {
        const Outcome o = stream<TestType>(capacity, writes, polls);
        INFO(capacity << " slots, " << writes << " writes, " << polls << " polls");
        CHECK(o.violation == kHolds);
        CHECK(o.executions >= 1);
      }
    }
  }
}

TEMPLATE_TEST_CASE("no execution finds the newest record incomplete", "", FencedOrders,
                   UnfencedOrders) {
  for (const std::uint64_t capacity : {1u, 2u, 4u}) {
    for (std::uint64_t writes = 1; writes <= capacity + 3; ++writes) {
      const Outcome o = latest<TestType>(capacity, writes, 3);
      INFO(capacity << " slots, " << writes << " writes");
      CHECK(o.violation == kHolds);
    }
  }
}

TEMPLATE_TEST_CASE("no execution of a tick names what is not there", "", FencedOrders,
                   UnfencedOrders) {
  for (const std::uint64_t capacity : {1u, 2u, 4u}) {
    for (std::uint64_t writes = 1; writes <= capacity + 2; ++writes) {
      const Outcome o = tick<TestType>(capacity, writes);
      INFO(capacity << " slots, " << writes << " writes");
      CHECK(o.violation == kHolds);
    }
  }
}

// The same numbers as GenMC 0.10.3 gives for this protocol under RC11: an independent count of what
// the memory model allows, so a checker that overlooks executions, or invents some, is noticed.
TEST_CASE("the checker visits every execution, no fewer and no more") {
  CHECK(stream<FencedOrders>(1, 3, 3).executions == 1531);
  CHECK(stream<FencedOrders>(2, 4, 3).executions == 649);
}

TEST_CASE("every known mutant is found") {
  CHECK(first_violation<FencedOrders>() == kHolds);
  CHECK(first_violation<UnfencedOrders>() == kHolds);

  CHECK(first_violation<NoWriterFence>() == "torn record accepted");
  CHECK(first_violation<NoReaderFence>() == "torn record accepted");
  CHECK(first_violation<RelaxedComplete>() == "torn record accepted");
  CHECK(first_violation<RelaxedSeqLoad>() == "torn record accepted");
  CHECK(first_violation<FencedOrders, NoOddMark>() == "torn record accepted");
  CHECK(first_violation<ReleaseMarkNoFence>() == "torn record accepted");

  CHECK(first_violation<RelaxedHead>() == "head names a record that is not complete");
  CHECK(first_violation<RelaxedHeadLoad>() == "head names a record that is not complete");

  CHECK(first_violation<UnfencedRelaxedStore>() == "torn record accepted");
  CHECK(first_violation<UnfencedRelaxedLoad>() == "torn record accepted");
  CHECK(first_violation<UnfencedRelaxedComplete>() == "torn record accepted");
  CHECK(first_violation<UnfencedRelaxedSeqLoad>() == "torn record accepted");
}
