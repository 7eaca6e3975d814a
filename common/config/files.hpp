// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include <tl/expected.hpp>

namespace optipod::config {

/// A whole file of at most `max` bytes; the error names it, and says why not.
tl::expected<std::string, std::string> read_file(const std::string& path,
                                                 std::size_t max = 1024 * 1024);

/// What tells one state of a file from another; "" when there is none. Follows links, as a rotated
/// secret is a link that moves.
std::string file_version(const std::string& path);

/// `text` without blanks and line ends around it.
std::string trimmed(const std::string& text);

}  // namespace optipod::config
