// SPDX-License-Identifier: Apache-2.0
//
// Instructions per operation, counted by callgrind: the same on every run and every machine of an
// architecture, unlike nanoseconds.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

namespace optipod::bench {

/// Runs this program under callgrind with `--count <name>`, counting only what happens inside the
/// function that pushes (or, "ring_read_<size>", reads), and gives instructions per operation.
tl::expected<double, std::string> count_instructions(const std::string& name);

/// What can be counted beside "ring", as "<key>_<size>", and its name.
std::vector<std::pair<std::string, std::string>> counted_peers();

/// What the program does when it is started with `--count <name>`. False: no such name.
bool run_counted(const std::string& name);

}  // namespace optipod::bench
