// SPDX-License-Identifier: Apache-2.0
#include "shm/sigbus_guard.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>

namespace optipod::shm {
namespace {

/// What this thread guards. volatile: the handler runs between any two instructions of the thread.
struct Guarded {
  volatile std::uintptr_t begin = 0;
  volatile std::uintptr_t end = 0;
  volatile bool faulted = false;
};
constinit thread_local Guarded guarded;

struct sigaction previous;
std::uintptr_t page_bytes = 4096;

void pass_on(int signal, siginfo_t* info, void* context) {
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
    // The faulting instruction runs again and ends the process as if we had never been here.
    ::signal(signal, SIG_DFL);
  } else {
    previous.sa_handler(signal);
  }
}

void on_sigbus(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (address < guarded.begin || address >= guarded.end) {
    pass_on(signal, info, context);
    return;
  }
  const int saved = errno;
  void* const page = static_cast<char*>(info->si_addr) - address % page_bytes;
  const std::uintptr_t bytes = guarded.end - reinterpret_cast<std::uintptr_t>(page);
  // mmap is a bare system call here, so it is safe in a handler.
  void* replaced = ::mmap(page, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  errno = saved;
  if (replaced == MAP_FAILED) {
    pass_on(signal, info, context);
    return;
  }
  guarded.faulted = true;
}

}  // namespace

void install_sigbus_guard() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    ::sigaction(SIGBUS, nullptr, &previous);
    struct sigaction ours {};
    ours.sa_sigaction = on_sigbus;
    ours.sa_flags = SA_SIGINFO;
    ::sigemptyset(&ours.sa_mask);
    ::sigaction(SIGBUS, &ours, nullptr);
  });
}

SigbusGuard::SigbusGuard(const void* begin, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  guarded.faulted = false;
  guarded.end = address + bytes;
  guarded.begin = address;
}

SigbusGuard::~SigbusGuard() {
  guarded.end = 0;
  guarded.begin = 0;
}

bool SigbusGuard::faulted() const {
  return guarded.faulted;
}

}  // namespace optipod::shm
