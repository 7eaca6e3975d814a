// SPDX-License-Identifier: Apache-2.0
//
// Child processes for tests, and memory that they share with their parent.
#pragma once

#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <new>
#include <stdexcept>
#include <utility>

namespace optipod::shm::test {

/// Runs a function in a child process. The child is killed and reaped if it still runs at the end.
class Child {
 public:
  /// Fork while this process has one thread only. The child exits 0 when `body` returns true.
  explicit Child(const std::function<bool()>& body) : pid_(::fork()) {
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ == 0) {
      // A failed assertion in the child must not run the parent's reporter twice.
      bool good = false;
      try {
        good = body();
      } catch (...) {
        good = false;
      }
      ::_exit(good ? 0 : 1);
    }
  }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ > 0) {
      send(SIGKILL);
      wait();
    }
  }

  void send(int signal) const { ::kill(pid_, signal); }
  /// Reaps. True: the child ended by itself and was content.
  bool wait() {
    int status = 0;
    const pid_t reaped = ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return reaped > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

/// One T, shared with children forked later.
template <class T>
class Shared {
 public:
  Shared()
      : memory_(
            ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    value_ = new (memory_) T();
  }
  ~Shared() {
    value_->~T();
    ::munmap(memory_, sizeof(T));
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  T* operator->() const { return value_; }
  T& operator*() const { return *value_; }

 private:
  void* memory_;
  T* value_ = nullptr;
};

}  // namespace optipod::shm::test
