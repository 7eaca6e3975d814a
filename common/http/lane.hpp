// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/http/message.hpp"

namespace optipod::http {

/// What becomes of a request that asks to be handled.
enum class Turn {
  kRun,        ///< now; whoever runs it calls Lane::leave() afterwards
  kWait,       ///< it is told later
  kQueueFull,  ///< not at all
  kDeadline,   ///< not at all: it has waited too long
  kStopping    ///< not at all: the server ends
};

/// Lets a bounded number of requests be handled at once, and a bounded number wait for that in the
/// order they came. A place that becomes free goes to the longest waiting one directly: nobody who
/// comes later can slip in. Thread-safe.
class Lane {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// Called once, on any thread and with no lock held, when the waiting ends: kRun, kDeadline or
  /// kStopping. Must not block.
  using Resume = std::function<void(Turn)>;
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  struct Limits {
    std::size_t max_active = 1;
    std::size_t max_queued = kUnlimited;
    std::optional<std::chrono::milliseconds> deadline;  ///< from arrival; none: any time
  };
  struct Load {
    std::size_t active = 0, queued = 0;
  };

  /// Deadlines are kept by a timer on `io`, which runs only while somebody waits.
  Lane(boost::asio::io_context& io, Limits limits) : limits_(limits), timer_(io) {}
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  /// True: it is the caller's turn (kRun).
  bool try_enter();
  /// After try_enter() has failed. kRun, kQueueFull and kStopping are final and `resume` is not
  /// called; after kWait it is, perhaps before this returns.
  Turn wait(Time arrival, Resume resume);
  /// Once after each kRun.
  void leave();

  /// Sends away all who wait and who come later (kStopping).
  void close();
  /// Forgets all who wait, untold. For the end, when no thread is left to tell.
  void clear();
  [[nodiscard]] Load load() const;

 private:
  struct Waiting {
    Time arrival;
    Resume resume;
  };
  [[nodiscard]] bool late(const Waiting& waiting, Time now) const;
  void take_late(Time now, std::vector<Resume>& out);
  void arm_timer();
  void on_timer();

  const Limits limits_;
  mutable std::mutex mutex_;
  std::size_t active_ = 0;     // these under mutex_
  std::deque<Waiting> queue_;  ///< empty while active_ < max_active
  bool closed_ = false;
  bool armed_ = false;
  boost::asio::steady_timer timer_;
};

/// Leaves at its end.
struct LeaveLane {
  Lane& lane;
  ~LeaveLane() { lane.leave(); }
};

/// The lanes of a server.
struct Lanes {
  Lane normal, slow, always, passwords;

  Lane& of(const RouteOptions& options) {
    return options.slow ? slow : options.always ? always : normal;
  }
};

}  // namespace optipod::http
