// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/libbpf_log.hpp"

#include <bpf/libbpf.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace optipod::agent::kernel {
namespace {

constexpr std::size_t kKept = 16 * 1024;
thread_local LibbpfLog* current = nullptr;

int print(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG || current == nullptr) return 0;
  char* text = nullptr;  // a verifier log comes in one long piece
  const int length = ::vasprintf(&text, format, arguments);
  if (length < 0) return 0;
  current->append(text, static_cast<std::size_t>(length));
  std::free(text);
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
