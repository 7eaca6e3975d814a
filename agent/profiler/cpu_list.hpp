// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace optipod::agent {

/// Reads the kernel's notation, "0-3,6", into ascending numbers without repetition. "" is empty.
tl::expected<std::vector<unsigned>, std::string> parse_cpu_list(std::string_view text);

}  // namespace optipod::agent
