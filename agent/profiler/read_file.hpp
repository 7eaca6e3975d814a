// SPDX-License-Identifier: Apache-2.0
//
// Reading the small text files of procfs and cgroupfs.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "shm/fd.hpp"

namespace optipod::agent {

/// The whole file, "" when it cannot be read.
inline std::string read_file(const std::string& path) {
  const shm::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 16384> buffer;
  while (fd) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return text;
}

/// A file kept open and read from its beginning each time: half the cost of opening it anew.
class KeptFile {
 public:
  KeptFile() = default;
  explicit KeptFile(const std::string& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) {}
  [[nodiscard]] bool is_open() const { return static_cast<bool>(fd_); }

  /// Empty when it is not open or (its cgroup is gone) not readable. Valid until the next read of
  /// any KeptFile by this thread.
  [[nodiscard]] std::string_view read() const {
    thread_local std::array<char, 4096> buffer;
    if (!fd_) return {};
    const ssize_t n = ::pread(fd_.get(), buffer.data(), buffer.size(), 0);
    return n <= 0 ? std::string_view()
                  : std::string_view(buffer.data(), static_cast<std::size_t>(n));
  }

 private:
  shm::Fd fd_;
};

}  // namespace optipod::agent
