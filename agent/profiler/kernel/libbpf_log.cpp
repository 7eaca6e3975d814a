// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/libbpf_log.hpp"

#include <bpf/libbpf.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <utility>

namespace optipod::agent::kernel {
namespace {

constexpr std::size_t kKept = 16 * 1024;
thread_local LibbpfLog* current = nullptr;

int print(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG || current == nullptr) return 0;
  char line[4096];  // a verifier log comes in one piece: its end is what matters
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(line, sizeof line, format, arguments);
  if (length >= static_cast<int>(sizeof line)) {
    std::string whole(static_cast<std::size_t>(length) + 1, '\0');
    std::vsnprintf(whole.data(), whole.size(), format, again);
    current->append(whole.data(), static_cast<std::size_t>(length));
  } else if (length > 0) {
    current->append(line, static_cast<std::size_t>(length));
  }
  va_end(again);
  return 0;
}

}  // namespace

LibbpfLog::LibbpfLog() {
  current = this;
  libbpf_set_print(print);
}

LibbpfLog::~LibbpfLog() {
  current = nullptr;
}

std::string LibbpfLog::take() {
  return std::exchange(text_, {});
}

void LibbpfLog::append(const char* text, std::size_t length) {
  text_.append(text, length);
  if (text_.size() > kKept) text_.erase(0, text_.size() - kKept);
}

}  // namespace optipod::agent::kernel
