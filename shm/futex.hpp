// SPDX-License-Identifier: Apache-2.0
//
// Waking between processes. std::atomic::wait uses the private futex of one process, which another
// process never wakes; these are the shared ones. Waiting needs no more than a read-only mapping.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <cstdint>
#include <ctime>

namespace optipod::shm {

inline void futex_wake_all(std::uint32_t* word) {
  ::syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

/// Sleeps while *word == expected, at most for `timeout`. May return early for no reason. A lost
/// page is an error here (EFAULT), never SIGBUS.
inline void futex_wait(const std::uint32_t* word, std::uint32_t expected,
                       std::chrono::nanoseconds timeout) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  const timespec limit{static_cast<time_t>(seconds.count()),
                       static_cast<long>((timeout - seconds).count())};
  ::syscall(SYS_futex, word, FUTEX_WAIT, expected, &limit, nullptr, 0);
}

}  // namespace optipod::shm
