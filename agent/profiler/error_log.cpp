// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/error_log.hpp"

#include <spdlog/spdlog.h>

namespace optipod::agent {

void ErrorLog::add(std::string_view what, Clock::time_point now) {
  ++count_;
  if (said_ && now - *said_ < std::chrono::minutes(1)) {
    ++unsaid_;
    return;
  }
  said_ = now;
  if (unsaid_ == 0) {
    spdlog::warn("{}", what);
  } else {
    spdlog::warn("{}; {} more errors since the last that was told", what, unsaid_);
  }
  unsaid_ = 0;
}

}  // namespace optipod::agent
