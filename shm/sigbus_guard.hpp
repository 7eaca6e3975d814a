// SPDX-License-Identifier: Apache-2.0
//
// Reading a mapped file that somebody truncates is SIGBUS. A size check before a copy leaves a
// window in which the file can shrink; this closes it.
#pragma once

#include <cstddef>

namespace optipod::shm {

/// Installs the process' SIGBUS handler; later calls do nothing. It minds faults inside a
/// SigbusGuard's range on the faulting thread, and gives all others to the handler that was there
/// before, or to the kernel's default. A program that installs its own later should pass on what it
/// does not know.
void install_sigbus_guard();

/// While it lives, a fault of this thread inside [begin, begin + bytes) is answered by private zero
/// pages in place of the lost ones. The copy then finishes with garbage: look at faulted() before
/// believing it, and unmap the region, which is no longer the file. Guards do not nest. Without
/// install_sigbus_guard() it does nothing.
class SigbusGuard {
 public:
  SigbusGuard(const void* begin, std::size_t bytes);
  ~SigbusGuard();
  SigbusGuard(const SigbusGuard&) = delete;
  SigbusGuard& operator=(const SigbusGuard&) = delete;

  [[nodiscard]] bool faulted() const;
};

}  // namespace optipod::shm
