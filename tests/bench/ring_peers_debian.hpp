// SPDX-License-Identifier: Apache-2.0
//
// Peers of the ring that not every machine has: Debian's moodycamel queues and libqb's ring buffer,
// behind the same face as those in ring_peers.hpp. meson.build says which are there.
#pragma once

#if HAVE_MOODYCAMEL
#include <concurrentqueue/concurrentqueue.h>
#include <readerwriterqueue/readerwriterqueue.h>
#endif
#if HAVE_LIBQB
#include <qb/qbrb.h>
#endif

#include <stdexcept>

#include "tests/bench/ring_peers.hpp"

namespace optipod::bench {

#if HAVE_MOODYCAMEL
/// One reader, one writer, in one process.
template <class M>
class ReaderWriterQueuePeer {
 public:
  static constexpr const char* kName = "moodycamel ReaderWriterQueue";
  void push(const M& m) {
    for (unsigned tries = 1; !queue_.try_enqueue(m); ++tries) {
      if (tries % 1024 == 0) std::this_thread::yield();
    }
  }
  bool pop(M& m) { return queue_.try_dequeue(m); }
  void drain() {
    M m;
    while (queue_.try_dequeue(m)) {
    }
  }

 private:
  moodycamel::ReaderWriterQueue<M> queue_{kQueued};
};

/// Any number of each, in one process; it grows rather than waits.
template <class M>
class ConcurrentQueuePeer {
 public:
  static constexpr const char* kName = "moodycamel ConcurrentQueue";
  void push(const M& m) { queue_.enqueue(m); }
  bool pop(M& m) { return queue_.try_dequeue(m); }
  void drain() {
    M m;
    while (queue_.try_dequeue(m)) {
    }
  }

 private:
  moodycamel::ConcurrentQueue<M> queue_{2 * kQueued};
};
#endif

#if HAVE_LIBQB
/// Overwrites like the ring, between processes, with one reader. Without its semaphore, which costs
/// a system call.
template <class M>
class QbPeer {
 public:
  static constexpr const char* kName = "libqb ring buffer";
  QbPeer() : ring_(open()) {
    if (ring_ == nullptr) throw std::runtime_error("libqb cannot make a ring in /dev/shm");
  }
  ~QbPeer() { qb_rb_close(ring_); }
  QbPeer(const QbPeer&) = delete;
  QbPeer& operator=(const QbPeer&) = delete;

  void push(const M& m) { qb_rb_chunk_write(ring_, &m, sizeof m); }
  bool pop(M& m) { return qb_rb_chunk_read(ring_, &m, sizeof m, 0) == sizeof m; }
  void drain() {}  // never full

 private:
  static qb_ringbuffer_t* open() {
    static int instances = 0;
    const std::string name = fmt::format("optipod-bench-{}-{}", ::getpid(), ++instances);
    return qb_rb_open(name.c_str(), kQueued * (sizeof(M) + 16),
                      QB_RB_FLAG_CREATE | QB_RB_FLAG_OVERWRITE | QB_RB_FLAG_SHARED_PROCESS |
                          QB_RB_FLAG_NO_SEMAPHORE,
                      0);
  }
  qb_ringbuffer_t* ring_;
};
#endif

}  // namespace optipod::bench
