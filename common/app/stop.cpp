// SPDX-License-Identifier: Apache-2.0
#include "common/app/stop.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace optipod::app {
namespace {

// What a signal handler may touch: lock-free atomics and write(2).
std::atomic<int> g_event_fd{-1};
std::atomic<bool> g_requested{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void raise_stop() {
  g_requested.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  const int fd = g_event_fd.load(std::memory_order_acquire);
  if (fd >= 0 && write(fd, &one, sizeof one) < 0) {
    // Only a full counter fails, and then everybody is awake already.
  }
}

extern "C" void on_signal(int) {
  const int saved = errno;
  raise_stop();
  errno = saved;
}

class SignalStop final : public Stop {
 public:
  explicit SignalStop(int fd) : fd_(fd) {
    g_requested.store(false);
    g_event_fd.store(fd);
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, &old_term_);
    sigaction(SIGINT, &action, &old_int_);
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, nullptr);
  }
  ~SignalStop() override {
    sigaction(SIGTERM, &old_term_, nullptr);
    sigaction(SIGINT, &old_int_, nullptr);
    g_event_fd.store(-1);
    close(fd_);
  }
  SignalStop(const SignalStop&) = delete;
  SignalStop& operator=(const SignalStop&) = delete;

  [[nodiscard]] bool requested() const override {
    return g_requested.load(std::memory_order_acquire);
  }
  void request() override { raise_stop(); }

  using Stop::wait_until;
  bool wait_until(std::chrono::steady_clock::time_point deadline, int readable_fd) override {
    while (!requested()) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= std::chrono::nanoseconds::zero()) return false;
      // An hour at a time: a far deadline must not overflow timespec.
      if (sleep(std::min<std::chrono::nanoseconds>(left, std::chrono::hours(1)), readable_fd)) {
        return requested();
      }
    }
    return true;
  }
  void wait() override {
    while (!requested()) sleep(std::chrono::hours(1));
  }

 private:
  /// Returns at the latest after `time`; the event stays readable, so that every sleeper wakes.
  /// True: `other` has something (or an error) to read. poll() passes over a negative one.
  bool sleep(std::chrono::nanoseconds time, int other = -1) const {
    pollfd events[] = {{fd_, POLLIN, 0}, {other, POLLIN, 0}};
    timespec spec{};
    spec.tv_sec = static_cast<time_t>(time.count() / 1'000'000'000);
    spec.tv_nsec = static_cast<long>(time.count() % 1'000'000'000);
    return ppoll(events, 2, &spec, nullptr) > 0 && events[1].revents != 0;
  }

  int fd_;
  struct sigaction old_term_ {};
  struct sigaction old_int_ {};
};

}  // namespace

tl::expected<std::unique_ptr<Stop>, std::string> make_signal_stop() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) {
    return tl::unexpected(std::string("cannot create an eventfd for signals: ") +
                          std::strerror(errno));
  }
  return std::make_unique<SignalStop>(fd);
}

}  // namespace optipod::app
