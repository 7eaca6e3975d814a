// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace optipod::agent::test {

/// The kernel's own record of interrupts, made by its tracing file system in a buffer of its own,
/// for as long as the object lives. Throws std::runtime_error where that cannot be had.
class IrqTrace {
 public:
  IrqTrace();
  ~IrqTrace();
  IrqTrace(const IrqTrace&) = delete;
  IrqTrace& operator=(const IrqTrace&) = delete;

  struct Times {
    std::uint64_t softirq_ns[16] = {};  ///< by vector, without the hardirqs in it
    std::uint64_t hardirq_ns = 0;       ///< in the handlers of devices
    std::size_t softirqs[16] = {}, hardirqs = 0;
  };
  /// Sums of what ended between the two, ns of the monotonic clock. Ends the recording; throws when
  /// the buffer was too small for it.
  [[nodiscard]] Times between(std::uint64_t from_ns, std::uint64_t to_ns) const;

 private:
  void write(const std::string& file, const std::string& text) const;

  std::string mount_, instance_;
};

}  // namespace optipod::agent::test
