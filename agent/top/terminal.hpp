// SPDX-License-Identifier: Apache-2.0
//
// The only file that knows ncurses.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "agent/top/page.hpp"

namespace optipod::top {

/// What the user's locale can show. Sets LC_CTYPE, nothing else, from the environment.
Charset charset_of_locale();

/// The terminal in full-screen mode while it lives; as it was before when it is gone, however main
/// is left. One at a time in a process, one thread. SIGTERM and SIGINT must be handled already.
class Terminal {
 public:
  /// False where there is nothing to draw on: a pipe, a file, TERM=dumb.
  static bool usable();
  static tl::expected<std::unique_ptr<Terminal>, std::string> open(Charset charset, bool colour);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  [[nodiscard]] Canvas canvas() const;
  void show(const Page& page);

  static constexpr int kNoKey = 0, kResized = -1, kHungUp = -2;
  /// A character, one of Key, or one of the above; waits at most that long, less when a signal
  /// comes.
  int key(std::chrono::milliseconds timeout);

 private:
  Terminal(Charset charset, void* screen) : charset_(charset), screen_(screen) {}
  Charset charset_;
  void* screen_;  ///< ncurses' SCREEN
};

}  // namespace optipod::top
