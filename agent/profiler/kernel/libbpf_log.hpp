// SPDX-License-Identifier: Apache-2.0
//
// libbpf explains failures through a print callback. While a LibbpfLog lives, what it says in this
// thread is kept here instead of going to stderr.
#pragma once

#include <string>

namespace optipod::agent::kernel {

class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  /// What was said since the last take(), the newest 16 kB of it.
  std::string take();
  void append(const char* text, std::size_t length);

 private:
  std::string text_;
};

}  // namespace optipod::agent::kernel
