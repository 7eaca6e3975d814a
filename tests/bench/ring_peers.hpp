// SPDX-License-Identifier: Apache-2.0
//
// The ring and its peers behind one face: push() and pop() of a message of N bytes, in memory that
// two processes can share. OptiPod's ring overwrites; the others refuse or wait when they are full.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>
#include <string>
#include <thread>

#include "shm/ring.hpp"

namespace optipod::bench {

inline constexpr std::size_t kQueued = 1024;  ///< capacity of each, in messages

template <std::size_t kBytes>
struct Message {
  std::uint64_t words[kBytes / 8];
};

template <class M>
class RingPeer {
 public:
  static constexpr const char* kName = "";
  void push(const M& m) { writer_.publish(m); }
  bool pop(M& m) { return cursor_.poll(m) == shm::ReadStatus::kOk; }
  void drain() {}  // never full

 private:
  static constexpr std::size_t kSlotWords = shm::slot_bytes(sizeof(M)) / 8;
  alignas(128) std::uint64_t memory_[shm::ring_bytes(sizeof(M), kQueued) / 8] = {};
  alignas(128) shm::RingWriter writer_{memory_, kQueued, kSlotWords};
  alignas(128) shm::RingCursor<> cursor_{
      shm::RingReader(memory_, kQueued, kSlotWords, sizeof(M) / 8)};
};

/// No queue at all: one word that one side counts up and the other waits for. What is left is the
/// way of a cache line from CPU to CPU, below which no message can be.
template <class M>
class WordPeer {
 public:
  static constexpr const char* kName = "one word, no message";
  void push(const M&) { __atomic_store_n(&word_, ++pushed_, __ATOMIC_RELEASE); }
  bool pop(M&) {
    if (__atomic_load_n(&word_, __ATOMIC_ACQUIRE) == popped_) return false;
    ++popped_;
    return true;
  }

 private:
  alignas(128) std::uint64_t word_ = 0;
  alignas(128) std::uint64_t pushed_ = 0;
  alignas(128) std::uint64_t popped_ = 0;
};

template <class M>
class SpscPeer {
 public:
  static constexpr const char* kName = "boost::lockfree::spsc_queue";
  void push(const M& m) {
    for (unsigned tries = 1; !queue_.push(m); ++tries) {
      if (tries % 1024 == 0) std::this_thread::yield();  // the reader may need this CPU
    }
  }
  bool pop(M& m) { return queue_.pop(m); }
  void drain() { queue_.reset(); }

 private:
  boost::lockfree::spsc_queue<M, boost::lockfree::capacity<kQueued>> queue_;
};

template <class M>
class MessageQueuePeer {
 public:
  static constexpr const char* kName = "boost message_queue";
  MessageQueuePeer() = default;
  ~MessageQueuePeer() { remove(); }
  MessageQueuePeer(const MessageQueuePeer&) = delete;
  MessageQueuePeer& operator=(const MessageQueuePeer&) = delete;

  void push(const M& m) { queue_.send(&m, sizeof m, 0); }
  bool pop(M& m) {
    Queue::size_type got = 0;
    unsigned priority = 0;
    queue_.receive(&m, sizeof m, got, priority);  // waits: it has no other way to be quick
    return true;
  }
  void drain() {
    M m;
    Queue::size_type got = 0;
    unsigned priority = 0;
    while (queue_.try_receive(&m, sizeof m, got, priority)) {
    }
  }

 private:
  using Queue = boost::interprocess::message_queue;
  static inline int instances = 0;
  void remove() { Queue::remove(name_.c_str()); }

  std::string name_ = fmt::format("optipod-bench-{}-{}", ::getpid(), ++instances);
  Queue queue_{boost::interprocess::create_only, name_.c_str(), kQueued, sizeof(M)};
};

}  // namespace optipod::bench
