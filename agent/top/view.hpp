// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "agent/top/rates.hpp"
#include "shm/tick.hpp"

namespace optipod::top {

struct Screen {
  unsigned columns = 100;
  unsigned rows = 0;    ///< lines at most; 0: as many as there are
  bool colour = false;  ///< ANSI attributes; nothing is said by colour alone
  std::string footer;   ///< last lines, separated by \n

  [[nodiscard]] unsigned footer_lines() const {
    if (footer.empty()) return 0;
    return 2 + static_cast<unsigned>(std::count(footer.begin(), footer.end(), '\n'));
  }
};

struct State {
  shm::AttachState attach = shm::AttachState::kNoSegment;
  shm::WriterState writer = shm::WriterState::kUnknown;
  std::string detail;               ///< why nothing is attached
  const shm::Tick* tick = nullptr;  ///< the newest, or none yet
  std::optional<Delta> delta;       ///< against the tick before; unset on the first
  double age_seconds = 0;           ///< of the newest tick
};

/// The whole view as lines ending in \n, each at most `columns` characters wide.
std::string render(const State& state, const Screen& screen);

/// "1.2k", "34M": at most four characters and a decimal prefix. Bytes take binary prefixes.
std::string short_count(double value);
std::string short_bytes(double value);
std::string short_seconds(double value);  ///< "12µs", "3.4ms", "1.2s"

}  // namespace optipod::top
