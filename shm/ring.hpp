// SPDX-License-Identifier: Apache-2.0
//
// One writer, any number of readers, and nobody waits: a ring of records in shared memory.
//
//   control                     slots
//   ┌──────┬─────────────┐      ┌─────┬───────────────┬─────┬───────────────┬──
//   │ head │ (128 bytes) │      │ seq │ payload words │ seq │ payload words │ …
//   └──────┴─────────────┘      └─────┴───────────────┴─────┴───────────────┴──
//
// head  records published so far. Record i lies in slot i mod capacity.
// seq   0 never written, 2i+1 record i is being written, 2i+2 record i is complete. The number
// carries
//       the lap, so it never repeats, and a slot can be judged without any other word.
//
// Invariants
//   1. Readers only load. They may map the ring read-only, and cannot disturb the writer.
//   2. The writer never waits and never looks at a reader: it overwrites the oldest record.
//   3. A reader returns a record only if every word of it belongs to the same lap (proved below).
//   4. What a reader could not have is counted exactly: lost = index after resync - index wanted.
//   5. A writer that dies between any two instructions leaves at most one slot that nobody accepts.
//
// The protocol; letters name the pairs
//
//   writer                                      reader of record i
//   W1 seq = 2i+1            relaxed            R1 s = seq               acquire   pairs with W4
//   W2 fence                 release            R2 s < 2i+2: not yet;  s > 2i+2: lapped
//   W3 payload words         relaxed            R3 payload words         relaxed
//   W4 seq = 2i+2            release            R4 fence                 acquire   pairs with W2
//   W5 head = i+1            release            R5 seq == s ? ok : torn  relaxed
//                                               head                     acquire   pairs with W5
//
// tests/model runs exactly this code over every execution that the C++ memory model allows, and
// must find each weakening of it. Sanitizers cannot model fences, so builds with
// -DOPTIPOD_NO_FENCES use the variant without them (UnfencedOrders), which is proved in the same
// way.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace optipod::shm {

/// A record is a whole number of 8-byte words, because those are what every 64-bit CPU loads and
/// stores in one piece, also from memory that it may not write.
template <class T>
concept RingRecord = std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0;

/// The memory orders of the protocol, each beside its partner. `relaxed` for a fence means none.
struct FencedOrders {
  using enum std::memory_order;
  static constexpr auto kMark = relaxed;       // W1, ordered before W3 by W2
  static constexpr auto kMarkFence = release;  // W2 pairs with R4: who reads a word of a later lap
                                               //    sees that lap's odd mark at R5
  static constexpr auto kPayloadStore = relaxed;  // W3, ordered after W1 by W2, before W4 by W4
  static constexpr auto kComplete = release;   // W4 pairs with R1: a complete mark shows all words
  static constexpr auto kHeadStore = release;  // W5 pairs with kHeadLoad: head names only records
                                               //    whose slot already says complete
  static constexpr auto kSeqLoad = acquire;    // R1 pairs with W4
  static constexpr auto kPayloadLoad = relaxed;  // R3, ordered before R5 by R4
  static constexpr auto kCheckFence = acquire;   // R4 pairs with W2
  static constexpr auto kCheckLoad = relaxed;    // R5
  static constexpr auto kHeadLoad = acquire;     // pairs with W5
};

/// The same without fences: W3 (release) pairs with R3 (acquire) and so carries W1 to R5. Costs
/// nothing on x86-64, but a barrier per word on weaker machines.
struct UnfencedOrders : FencedOrders {
  static constexpr auto kMarkFence = relaxed;
  static constexpr auto kPayloadStore = release;  // pairs with kPayloadLoad
  static constexpr auto kPayloadLoad = acquire;   // pairs with kPayloadStore
  static constexpr auto kCheckFence = relaxed;
};

#ifdef OPTIPOD_NO_FENCES
using DefaultOrders = UnfencedOrders;
#else
using DefaultOrders = FencedOrders;
#endif

/// The machine's own atomic words. Builtins, because std::atomic_ref<const T> does not exist in
/// C++20 and readers hold const memory. tests/model has another class with these three functions.
struct MachineAtomics {
  template <std::memory_order kOrder, class Word>
  static Word load(const Word* word) {
    return __atomic_load_n(word, static_cast<int>(kOrder));
  }
  template <std::memory_order kOrder, class Word>
  static void store(Word* word, std::type_identity_t<Word> value) {
    __atomic_store_n(word, value, static_cast<int>(kOrder));
  }
  template <std::memory_order kOrder>
  static void fence() {
    std::atomic_thread_fence(kOrder);
  }
};

/// Words between head and the first slot: the writer's line, and the one that the CPU fetches with
/// it.
inline constexpr std::size_t kControlWords = 16;
inline constexpr std::size_t kWordBytes = sizeof(std::uint64_t);

/// Distance between slots: seq and payload, rounded up to cache lines so that two slots share none.
constexpr std::size_t slot_bytes(std::size_t record_bytes) {
  constexpr std::size_t kLine = 64;
  return (kWordBytes + record_bytes + kLine - 1) / kLine * kLine;
}
constexpr std::size_t ring_bytes(std::size_t record_bytes, std::uint64_t capacity) {
  return kControlWords * kWordBytes + slot_bytes(record_bytes) * capacity;
}

/// Thread safety: one writer object per ring, used by one thread at a time. The memory must be zero
/// at first, 8-byte aligned, and outlive the object.
template <class Atomics = MachineAtomics, class Orders = DefaultOrders>
class BasicRingWriter {
 public:
  BasicRingWriter() = default;
  /// @param control     first word of the ring
  /// @param capacity    records, a power of two; 2 at least if a dead writer must leave one
  /// readable
  /// @param slot_words  distance between slots, more than the record's words
  BasicRingWriter(std::uint64_t* control, std::uint64_t capacity, std::size_t slot_words)
      : head_(control),
        slots_(control + kControlWords),
        mask_(capacity - 1),
        slot_words_(slot_words) {}

  /// Publishes a record and gives the index under which readers find it.
  template <RingRecord Record>
  std::uint64_t publish(const Record& record) {
    constexpr std::size_t kWords = sizeof(Record) / kWordBytes;
    const std::uint64_t index = next_++;
    std::uint64_t* const slot = slots_ + (index & mask_) * slot_words_;
    const auto* const from = reinterpret_cast<const unsigned char*>(&record);

    Atomics::template store<Orders::kMark>(slot, 2 * index + 1);  // W1
    if constexpr (Orders::kMarkFence != std::memory_order::relaxed) {
      Atomics::template fence<Orders::kMarkFence>();  // W2
    }
#pragma GCC unroll 8
    for (std::size_t k = 0; k < kWords; ++k) {
      std::uint64_t word;
      std::memcpy(&word, from + k * kWordBytes, kWordBytes);
      Atomics::template store<Orders::kPayloadStore>(slot + 1 + k, word);  // W3
    }
    Atomics::template store<Orders::kComplete>(slot, 2 * index + 2);  // W4
    Atomics::template store<Orders::kHeadStore>(head_, index + 1);    // W5
    return index;
  }

  /// Index that the next record will have; the number published so far.
  [[nodiscard]] std::uint64_t next() const { return next_; }

 private:
  std::uint64_t* head_ = nullptr;
  std::uint64_t* slots_ = nullptr;
  std::uint64_t mask_ = 0;
  std::size_t slot_words_ = 0;
  std::uint64_t next_ = 0;
};

enum class ReadStatus {
  kOk,
  kNotYet,  ///< not complete: never written, or being written now
  kLapped,  ///< the slot already holds a later record
  kTorn,    ///< the writer came round while we copied; the copy is worthless
};

/// Thread safety: const and stateless, so any number of threads may share one. Loads only.
/// Untrusted: every word may be anything at any time. No index is taken from the ring here, nothing
/// loops, and what a caller decodes is the private copy.
template <class Atomics = MachineAtomics, class Orders = DefaultOrders>
class BasicRingReader {
 public:
  BasicRingReader() = default;
  /// As the writer's. @param record_words  payload words that the ring's records have; when they
  /// are fewer than the reader's (an older writer), the rest of the copy is zero.
  BasicRingReader(const std::uint64_t* control, std::uint64_t capacity, std::size_t slot_words,
                  std::size_t record_words)
      : head_(control),
        slots_(control + kControlWords),
        mask_(capacity - 1),
        slot_words_(slot_words),
        record_words_(record_words) {}

  /// Copies record `index`. `out` holds garbage unless kOk is returned.
  template <RingRecord Record>
  [[nodiscard]] ReadStatus read(std::uint64_t index, Record& out) const {
    constexpr std::size_t kWords = sizeof(Record) / kWordBytes;
    const std::uint64_t* const slot = slots_ + (index & mask_) * slot_words_;
    auto* const to = reinterpret_cast<unsigned char*>(&out);
    const std::uint64_t complete = 2 * index + 2;

    const std::uint64_t seen = Atomics::template load<Orders::kSeqLoad>(slot);  // R1
    if (seen < complete) return ReadStatus::kNotYet;                            // R2
    if (seen > complete) return ReadStatus::kLapped;
    const std::size_t words = record_words_ < kWords ? record_words_ : kWords;
    if (words == kWords) {
      copy<kWords>(slot + 1, to);  // a known length: half the instructions
    } else {
      copy(slot + 1, words, to);
    }
    if constexpr (Orders::kCheckFence != std::memory_order::relaxed) {
      Atomics::template fence<Orders::kCheckFence>();  // R4
    }
    if (Atomics::template load<Orders::kCheckLoad>(slot) != seen) return ReadStatus::kTorn;  // R5
    if (words < kWords) std::memset(to + words * kWordBytes, 0, (kWords - words) * kWordBytes);
    return ReadStatus::kOk;
  }

  /// Records published so far, as far as this reader can see. The newest one is head() - 1.
  [[nodiscard]] std::uint64_t head() const {
    return Atomics::template load<Orders::kHeadLoad>(head_);
  }

  /// Where a lapped reader should go on: an eighth of the ring behind the oldest record, so that
  /// the writer does not lap it again at once; at least one, because the oldest slot may be
  /// half-written by a writer that is dead.
  [[nodiscard]] std::uint64_t resync_point() const {
    const std::uint64_t published = head();
    const std::uint64_t size = capacity();
    if (published <= size) return 0;
    return published - size + (size >= 8 ? size / 8 : 1);
  }

  [[nodiscard]] std::uint64_t capacity() const { return mask_ + 1; }

 private:
  static void copy(const std::uint64_t* from, std::size_t words, unsigned char* to) {
    for (std::size_t k = 0; k < words; ++k) copy_word(from, k, to);
  }
  template <std::size_t kWords>
  static void copy(const std::uint64_t* from, unsigned char* to) {
#pragma GCC unroll 8
    for (std::size_t k = 0; k < kWords; ++k) copy_word(from, k, to);
  }
  static void copy_word(const std::uint64_t* from, std::size_t k, unsigned char* to) {
    const std::uint64_t word = Atomics::template load<Orders::kPayloadLoad>(from + k);  // R3
    std::memcpy(to + k * kWordBytes, &word, kWordBytes);
  }

  const std::uint64_t* head_ = nullptr;
  const std::uint64_t* slots_ = nullptr;
  std::uint64_t mask_ = 0;
  std::size_t slot_words_ = 0;
  std::size_t record_words_ = 0;
};

using RingWriter = BasicRingWriter<>;
using RingReader = BasicRingReader<>;

/// Reads every record in order, and counts what was overwritten before it could be read. At any
/// time next() = records returned + lost() + the index it began at.
template <class Reader = RingReader>
class RingCursor {
 public:
  explicit RingCursor(const Reader& ring, std::uint64_t begin = 0) : ring_(ring), next_(begin) {}

  /// One try, never a loop. kOk: `out` is record next()-1. kNotYet: nothing new. kLapped, kTorn:
  /// moved on as far as the ring's head tells; try again.
  template <RingRecord Record>
  [[nodiscard]] ReadStatus poll(Record& out) {
    const ReadStatus status = ring_.read(next_, out);
    switch (status) {
      case ReadStatus::kOk:
        ++next_;
        break;
      case ReadStatus::kNotYet:
        break;
      case ReadStatus::kTorn:
        ++torn_;
        [[fallthrough]];
      case ReadStatus::kLapped: {
        const std::uint64_t to = ring_.resync_point();
        if (to > next_) {
          lost_ += to - next_;
          next_ = to;
        }
        break;
      }
    }
    return status;
  }

  [[nodiscard]] std::uint64_t next() const { return next_; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }
  [[nodiscard]] std::uint64_t torn() const { return torn_; }

 private:
  Reader ring_;
  std::uint64_t next_;
  std::uint64_t lost_ = 0;
  std::uint64_t torn_ = 0;
};

}  // namespace optipod::shm
