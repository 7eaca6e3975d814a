// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "common/app/app.hpp"

namespace optipod::app {

/// A Stop that SIGTERM and SIGINT set while it lives; SIGPIPE is ignored from then on, because a
/// peer that hangs up is an ordinary error of one write. One at a time in a process.
tl::expected<std::unique_ptr<Stop>, std::string> make_signal_stop();

}  // namespace optipod::app
