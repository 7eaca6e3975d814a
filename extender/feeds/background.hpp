// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>

namespace optipod::extender {

/// Lets the calling thread stand back where CPUs are short: reading 200,000 samples must not keep a
/// decision waiting. (Linux: niceness is the thread's own.)
inline void stand_back() {
  constexpr int kNiceness = 10;
  setpriority(PRIO_PROCESS, 0, kNiceness);  // cannot fail: it is no more than anybody may do
}

}  // namespace optipod::extender
