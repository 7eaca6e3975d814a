// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <stdexcept>

namespace optipod::agent::test {

/// Lets a Worker and its owner wait for each other without a system call that is counted, and the
/// worker tell numbers. Make it before the worker. Who waits over a minute fails.
class Stages {
 public:
  Stages() {
    void* memory =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap");
    shared_ = new (memory) Shared;
  }
  Stages(const Stages&) = delete;
  Stages& operator=(const Stages&) = delete;
  ~Stages() { ::munmap(shared_, sizeof(Shared)); }

  // The worker's side.
  void done(int stage) { shared_->done = stage; }
  void wait_for(int stage) const { wait(shared_->started, stage); }
  void tell(std::size_t index, std::uint64_t value) { shared_->told[index] = value; }

  // The owner's.
  void start(int stage) { shared_->started = stage; }
  void wait_done(int stage) const { wait(shared_->done, stage); }
  [[nodiscard]] std::uint64_t told(std::size_t index) const { return shared_->told[index]; }

 private:
  struct Shared {
    std::atomic<int> started{0}, done{0};
    std::atomic<std::uint64_t> told[16]{};
  };
  static void wait(const std::atomic<int>& what, int stage) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (what < stage) {
      if (std::chrono::steady_clock::now() > give_up)
        throw std::runtime_error("the other side did not come this far");
      ::usleep(1000);
    }
  }
  Shared* shared_ = nullptr;
};

}  // namespace optipod::agent::test
