// SPDX-License-Identifier: Apache-2.0
//
// Strings as JSON text, for replies that are assembled by hand.
#pragma once

#include <string>
#include <string_view>

namespace optipod::extender::wire {

/// Appends `text` quoted and escaped. Bytes over 0x7f pass as they are: what came in was UTF-8.
void append_string(std::string& out, std::string_view text);

}  // namespace optipod::extender::wire
