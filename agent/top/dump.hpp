// SPDX-License-Identifier: Apache-2.0
//
// Samples for scripts. Fields are the keys of signals.cpp, in base units (seconds, bytes, ratios
// 0..1); they are only ever added. What is not known is left out (JSON) or empty (CSV), never zero.
// Numbers have a '.' in every locale.
#pragma once

#include <string>

#include "agent/top/scene.hpp"

namespace optipod::top {

/// One line of JSON, ASCII only, in docs/optipod-top.md. Without a sample or an interval it says
/// only how the agent is.
std::string to_json(const Scene& scene);

/// RFC 4180: the line of names, ended by CRLF.
std::string csv_header();
/// A line for the node, one for each container, one for the rest; "" without an interval. Names
/// have '?' for what a terminal would not just show.
std::string to_csv(const Scene& scene);

}  // namespace optipod::top
